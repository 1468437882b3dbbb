-- Every valid event of the days :days once, in SQL of Spark and DuckDB. Lines with the same event_id, event type and
-- item are one event, of which the line that was due first is kept; if several were due first, the one that comes first
-- by file and line number. The rule does not depend on the order in which lines arrived, so late files and backfills
-- give the same table.
-- Some logs give an impression and its click, or all lines of an order, the same event_id. These stay apart: the first
-- by type (impressions before all others) and item keeps the ID, and the others get their type and item added to it.
-- Few lines share an ID. Only those are sorted, and a hash of the event_id is enough to find them.
WITH good AS (
  SELECT *, hash(event_id) AS key FROM bronze.raw_events
  WHERE reason IS NULL AND event_day IN :days AND day >= :first_day -- no line is due before its event
), repeated AS (
  SELECT event_day AS repeated_day, key AS repeated_key FROM good GROUP BY event_day, key HAVING count(*) > 1
), marked AS (
  SELECT good.*, repeated_key IS NOT NULL AS is_repeated
  FROM good LEFT JOIN repeated ON event_day = repeated_day AND key = repeated_key
), ranked AS (
  SELECT *, row_number() OVER (PARTITION BY event_day, event_id, event, item_id ORDER BY day, file, line, raw) AS nth,
         dense_rank() OVER (
           PARTITION BY event_day, event_id
           ORDER BY CASE WHEN event = 'impression' THEN 0 ELSE 1 END, event, item_id) AS which
  FROM marked WHERE is_repeated
)
SELECT event_id, user_id, item_id, event, ts, value, price, request_id, position, order_id, seq, day AS landed_day,
       event_day AS day
FROM marked WHERE NOT is_repeated
UNION ALL
SELECT CASE WHEN which = 1 THEN event_id ELSE concat_ws('#', event_id, event, item_id) END AS event_id,
       user_id, item_id, event, ts, value, price, request_id, position, order_id, seq, day AS landed_day, event_day AS day
FROM ranked WHERE nth = 1
