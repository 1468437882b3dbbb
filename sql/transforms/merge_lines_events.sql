-- The rows of files outside day folders that are read again, in SQL of Spark and DuckDB. The view `new_lines` holds what
-- the files contain now. A good line that is no longer there stays: such a file is often overwritten by the events of the
-- next day. A line that is there again replaces its earlier version, and is not late if that was not.
WITH old_lines AS (
  SELECT * FROM bronze.raw_events WHERE file IN :files AND reason IS NULL
), kept_lines AS (
  SELECT * FROM new_lines n WHERE n.reason IS NULL OR n.reason <> 'ts is too late' OR NOT EXISTS (
    SELECT 1 FROM old_lines o
    WHERE o.file = n.file AND o.event_id = n.event_id AND o.event = n.event AND o.item_id = n.item_id)
)
SELECT * FROM kept_lines
UNION ALL
SELECT * FROM old_lines o WHERE NOT EXISTS (
  SELECT 1 FROM kept_lines n
  WHERE n.reason IS NULL AND o.file = n.file AND o.event_id = n.event_id AND o.event = n.event AND o.item_id = n.item_id)
