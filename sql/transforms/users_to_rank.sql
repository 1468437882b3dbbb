-- What is known of each user who acted from the day :active_from on: the history, the counts for the running rates, and
-- what was generated. Cancelled purchases do not count. `acted` and `item_index`: see acted.sql.
WITH shown AS (
  SELECT user_id, unix_micros(ts) AS ts, coalesce(seq, 0) AS seq, item, day, 3 AS kind
  FROM silver.events JOIN item_index USING (item_id)
  WHERE event = 'impression' AND user_id IS NOT NULL AND day >= :shown_from AND day <= :day
  UNION ALL
  SELECT user_id, unix_micros(ts), coalesce(seq, 0), item, day, 4
  FROM silver.histories JOIN item_index USING (item_id)
  WHERE event = 'rating' AND value < :like_from AND day <= :day AND :shown_from <= :day
), histories AS (
  SELECT user_id, array_sort(collect_list(struct(ts, seq, item, kind))) AS events
  FROM (SELECT * FROM acted UNION ALL SELECT * FROM shown)
  GROUP BY user_id HAVING max(IF(kind < 3, day, NULL)) >= :active_from
), counts AS (
  SELECT user_id, count_if(event = :shown_event) AS shown,
    count_if(event = :taken_event AND (event <> 'rating' OR value >= :like_from)) AS taken
  FROM silver.events LEFT ANTI JOIN cancelled_lately USING (event, day, event_id, item_id)
  WHERE user_id IS NOT NULL AND day >= :counts_from AND day <= :day
  GROUP BY user_id
), lists AS (
  SELECT user_id, array_sort(collect_list(struct(source, rank, item))) AS generated
  FROM gold.generated JOIN item_index USING (item_id) WHERE day = :day AND source IN :sources GROUP BY user_id
)
SELECT user_id, events, coalesce(shown, 0) AS shown, coalesce(taken, 0) AS taken, generated
FROM histories LEFT JOIN counts USING (user_id) LEFT JOIN lists USING (user_id)
