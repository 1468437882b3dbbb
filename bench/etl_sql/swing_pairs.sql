WITH pairs AS (
  SELECT least(item, other) AS a, greatest(item, other) AS b, max(score) AS score FROM swing_scores GROUP BY 1, 2
)
SELECT x.item_id AS item_a, y.item_id AS item_b, 'swing' AS source, score, DATE '$day' AS day
FROM pairs JOIN swing_items x ON x.item = a JOIN swing_items y ON y.item = b
