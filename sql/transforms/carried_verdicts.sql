-- The verdict that each pair of a source already has: that of the day, or else the newest of another day.
SELECT item_a, item_b, last.verdict, last.reason, last.judge_version, last.judge_seconds
FROM (
  SELECT item_a, item_b,
    max_by(struct(verdict, reason, judge_version, judge_seconds), struct((day = :day) AS is_of_day, day)) AS last
  FROM silver.item_pairs WHERE source = :source AND verdict IS NOT NULL GROUP BY item_a, item_b
)
