-- The view `swing_scores` with item IDs instead of numbers: each pair once, with the higher of its two scores and the
-- verdict that it already has, if any (the verdict of this day, else the newest).
WITH pairs AS (
  SELECT least(item, other) AS a, greatest(item, other) AS b, max(score) AS score
  FROM swing_scores GROUP BY 1, 2
), judged AS (
  SELECT item_a, item_b,
    max_by(struct(verdict, reason, judge_version, judge_seconds), struct((day = :day) AS is_of_day, day)) AS last
  FROM silver.item_pairs WHERE source = 'swing' AND verdict IS NOT NULL GROUP BY item_a, item_b
), named AS (
  SELECT least(x.item_id, y.item_id) AS item_a, greatest(x.item_id, y.item_id) AS item_b, p.score
  FROM pairs p JOIN swing_items x ON x.item = p.a JOIN swing_items y ON y.item = p.b
)
SELECT n.item_a, n.item_b, 'swing' AS source, n.score,
  j.last.verdict, j.last.reason, j.last.judge_version, j.last.judge_seconds, :day AS day
FROM named n LEFT JOIN judged j USING (item_a, item_b)
