-- The view `swing_scores` with item IDs instead of numbers: each pair once, with the higher of its two scores and the
-- verdict that it already has, if any (the view `judged`, see carried_verdicts.sql).
WITH pairs AS (
  SELECT least(item, other) AS a, greatest(item, other) AS b, max(score) AS score
  FROM swing_scores GROUP BY 1, 2
), named AS (
  SELECT least(x.item_id, y.item_id) AS item_a, greatest(x.item_id, y.item_id) AS item_b, p.score
  FROM pairs p JOIN swing_items x ON x.item = p.a JOIN swing_items y ON y.item = p.b
)
SELECT item_a, item_b, 'swing' AS source, score, verdict, reason, judge_version, judge_seconds, :day AS day
FROM named LEFT JOIN judged USING (item_a, item_b)
