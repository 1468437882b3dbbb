-- What known users did on the days :days, and what else the spans :spans of silver.histories hold. A day of one of the
-- :months goes into the span of its month. In SQL of Spark and DuckDB.
WITH rows AS (
  SELECT user_id, item_id, event, ts, value, seq, IF(event IN ('purchase', 'cancel'), event_id, NULL) AS event_id, order_id,
    day
  FROM silver.events WHERE day IN :days AND event <> 'impression' AND user_id IS NOT NULL
  UNION ALL
  SELECT user_id, item_id, event, ts, value, seq, event_id, order_id, day
  FROM silver.histories WHERE span IN :spans AND day NOT IN :days
), spans AS (
  SELECT *, IF(substr(CAST(day AS STRING), 1, 7) IN :months, substr(CAST(day AS STRING), 1, 7), CAST(day AS STRING)) AS span
  FROM rows
)
SELECT user_id, item_id, event, ts, value, seq, event_id, order_id, day, span
FROM spans ORDER BY span, user_id, ts, seq, event, item_id
