-- Each good event once: lines with the same event_id, type and item are one event. The line of the earlier day wins, then
-- the first by file and line. If an ID has several events, all but the first get their type and item added to it.
WITH kept AS (
  SELECT *, dense_rank() OVER (
           PARTITION BY event_day, event_id ORDER BY CASE WHEN event = 'impression' THEN 0 ELSE 1 END, event, item_id) AS which
  FROM raw_events
  WHERE reason IS NULL
  QUALIFY row_number() OVER (PARTITION BY event_day, event_id, event, item_id ORDER BY raw_events.day, file, line) = 1
)
SELECT CASE WHEN which = 1 THEN event_id ELSE concat_ws('#', event_id, event, item_id) END AS event_id,
       user_id, item_id, event, ts, value, price, request_id, position, order_id, seq, day AS landed_day, event_day AS day
FROM kept
