-- The view `swing_scores` with item IDs instead of numbers: each pair once, with the higher of its two scores.
WITH pairs AS (
  SELECT least(item, other) AS a, greatest(item, other) AS b, max(score) AS score
  FROM swing_scores GROUP BY 1, 2
)
SELECT least(x.item_id, y.item_id) AS item_a, greatest(x.item_id, y.item_id) AS item_b, p.score
FROM pairs p JOIN swing_items x ON x.item = p.a JOIN swing_items y ON y.item = p.b
