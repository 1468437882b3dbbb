-- The rows of files outside day folders that are read again, in SQL of Spark and DuckDB. The view `new_lines` holds what
-- the files contain now. A good line of an item that is no longer there stays. An item whose line has not changed keeps
-- its day, but it may be another item than before, if landing.toml says so now.
WITH old_lines AS (
  SELECT * FROM bronze.raw_items WHERE file IN :files AND reason IS NULL
), first_days AS (
  SELECT file AS old_file, raw AS old_raw, min(day) AS first_day FROM old_lines GROUP BY file, raw
)
SELECT file, line, raw, reason, item_id, title, description, category, attributes, image, price, updated_at, run_id,
       coalesce(first_day, day) AS day
FROM new_lines LEFT JOIN first_days ON file = old_file AND raw = old_raw
UNION ALL
SELECT * FROM old_lines o
WHERE NOT EXISTS (SELECT 1 FROM new_lines n WHERE n.reason IS NULL AND o.file = n.file AND o.item_id = n.item_id)
AND NOT EXISTS (SELECT 1 FROM new_lines n WHERE o.file = n.file AND o.raw = n.raw)
