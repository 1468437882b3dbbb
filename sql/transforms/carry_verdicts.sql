-- The view `new_pairs` (item_a, item_b, score) with the verdict that each pair of the source already has: that of this
-- day, or else the newest of another day.
WITH judged AS (
  SELECT item_a, item_b,
    max_by(struct(verdict, reason, judge_version, judge_seconds), struct((day = :day) AS is_of_day, day)) AS last
  FROM silver.item_pairs WHERE source = :source AND verdict IS NOT NULL GROUP BY item_a, item_b
)
SELECT n.item_a, n.item_b, :source AS source, n.score,
  j.last.verdict, j.last.reason, j.last.judge_version, j.last.judge_seconds, :day AS day
FROM new_pairs n LEFT JOIN judged j USING (item_a, item_b)
