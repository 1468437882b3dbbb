-- Good lines of the given event days, each event once: the line that was due first wins, then file and line.
-- The rule does not depend on which line came first, so late files and backfills end in the same table.
WITH ranked AS (
  SELECT *, row_number() OVER (PARTITION BY event_day, event_id ORDER BY day, file, line) AS nth
  FROM bronze.raw_events
  WHERE reason IS NULL AND event_day IN :days
)
SELECT event_id, user_id, item_id, event, ts, value, price, request_id, position, order_id, seq,
       day AS landed_day, event_day AS day
FROM ranked WHERE nth = 1
