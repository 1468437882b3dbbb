-- The good lines of the event days :days, each event once: the line that was due first wins, then file and line number.
-- The rule does not depend on the order in which lines arrived, so late files and backfills give the same table.
-- Few lines share a key. Only those are sorted, and a hash of the event_id is enough to find them.
WITH good AS (
  SELECT *, xxhash64(event_id) AS key FROM bronze.raw_events WHERE reason IS NULL AND event_day IN :days
), repeated AS (
  SELECT event_day, key FROM good GROUP BY event_day, key HAVING count(*) > 1
), ranked AS (
  SELECT *, row_number() OVER (PARTITION BY event_day, event_id ORDER BY day, file, line) AS nth
  FROM good LEFT SEMI JOIN repeated USING (event_day, key)
), kept AS (
  SELECT * FROM good LEFT ANTI JOIN repeated USING (event_day, key)
  UNION ALL
  SELECT * EXCEPT (nth) FROM ranked WHERE nth = 1
)
SELECT event_id, user_id, item_id, event, ts, value, price, request_id, position, order_id, seq,
       day AS landed_day, event_day AS day
FROM kept
