-- The rows of files outside day folders that are read again, in SQL of Spark and DuckDB. The view `new_lines` holds what
-- the files contain now. A good line that is no longer there stays: such a file is often overwritten by the events of the
-- next day. A line that is there again, or the same event, replaces its earlier version, and is not late if that was not.
-- The same line may be another event than before, if landing.toml says so now.
WITH old_lines AS (
  SELECT * FROM bronze.raw_events WHERE file IN :files AND reason IS NULL
), old_events AS (
  SELECT DISTINCT file, event_id, event, item_id FROM old_lines
), old_texts AS (
  SELECT DISTINCT file, raw FROM old_lines
), current_lines AS (
  SELECT n.file, n.line, n.raw,
         CASE WHEN n.reason = 'ts is too late' AND (e.file IS NOT NULL OR t.file IS NOT NULL) THEN NULL
              ELSE n.reason END AS reason,
         n.event_id, n.user_id, n.item_id, n.event, n.ts, n.value, n.price, n.request_id, n.position, n.order_id, n.seq,
         n.event_day, n.run_id, n.day
  FROM new_lines n
  LEFT JOIN old_events e ON e.file = n.file AND e.event_id = n.event_id AND e.event = n.event AND e.item_id = n.item_id
  LEFT JOIN old_texts t ON t.file = n.file AND t.raw = n.raw
)
SELECT * FROM current_lines
UNION ALL
SELECT * FROM old_lines o
WHERE NOT EXISTS (
  SELECT 1 FROM current_lines n
  WHERE n.reason IS NULL AND o.file = n.file AND o.event_id = n.event_id AND o.event = n.event AND o.item_id = n.item_id)
AND NOT EXISTS (SELECT 1 FROM current_lines n WHERE o.file = n.file AND o.raw = n.raw)
