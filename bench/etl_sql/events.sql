-- Each good event once. If it comes twice, the line of the earlier day wins, then the first by file and line.
SELECT event_id, user_id, item_id, event, ts, value, price, request_id, position, order_id, seq,
       day AS landed_day, event_day AS day
FROM raw_events
WHERE reason IS NULL
QUALIFY row_number() OVER (PARTITION BY event_day, event_id ORDER BY raw_events.day, file, line) = 1
