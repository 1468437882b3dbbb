-- Good lines of the given event days, each event once: the line that was due first wins, then file and line.
-- The rule does not depend on which line came first, so late files and backfills end in the same table.
-- Few lines share a key: only they are sorted, and a hash of the key is enough to find them.
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
