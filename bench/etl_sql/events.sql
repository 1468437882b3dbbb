-- Each good event once: the line that was due first wins, then file and line.
SELECT event_id, user_id, item_id, event, ts, value, price, request_id, position, order_id, seq,
       day AS landed_day, event_day AS day
FROM raw_events
WHERE reason IS NULL
QUALIFY row_number() OVER (PARTITION BY event_day, event_id ORDER BY raw_events.day, file, line) = 1
