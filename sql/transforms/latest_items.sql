-- The items that the days :days have lines of, each in its latest version, in SQL of Spark and DuckDB. Without the items
-- that silver.items holds in this version already. The version that silver.items holds stands for all lines of other
-- days, so that old lines are not read again. But if it is of these days, its line may be gone: then the item goes back
-- to the latest of its lines.
WITH due_lines AS (
  SELECT * FROM bronze.raw_items WHERE reason IS NULL AND day IN :days
), of_days AS (
  SELECT item_id AS of_days_id FROM silver.items WHERE day IN :days
), touched AS (
  SELECT item_id AS touched_id FROM due_lines UNION SELECT of_days_id FROM of_days
), candidates AS (
  SELECT item_id, title, description, category, attributes, image, price, updated_at, file, line, day FROM due_lines
  UNION ALL
  SELECT item_id, title, description, category, attributes, image, price, updated_at, file, line, day
  FROM silver.items JOIN touched ON item_id = touched_id
  WHERE day NOT IN :days
  UNION ALL
  SELECT item_id, title, description, category, attributes, image, price, updated_at, file, line, day
  FROM bronze.raw_items JOIN of_days ON item_id = of_days_id
  WHERE reason IS NULL AND day NOT IN :days
    AND day >= :history_from -- without items of these days, no old line is read
    AND day <= :last_day -- later lines wait for their day
), ranked AS (
  SELECT *, row_number() OVER (
           PARTITION BY item_id
           ORDER BY coalesce(updated_at, CAST(day AS TIMESTAMP)) DESC, day DESC, file DESC, line DESC) AS nth
  FROM candidates
), newest AS (
  SELECT *, concat_ws('. ', title, nullif(array_join(category, ' > '), ''), description, attributes) AS described
  FROM ranked WHERE nth = 1
), texts AS (
  SELECT *, CASE WHEN described = '' THEN item_id ELSE described END AS text FROM newest
), latest AS (
  SELECT item_id, title, description, category, attributes, image, price, updated_at, text,
         sha2(concat_ws(chr(10), text, image), 256) AS content_hash, file, line, day
  FROM texts
)
SELECT * FROM latest l WHERE NOT EXISTS (
  SELECT 1 FROM silver.items t
  WHERE t.item_id = l.item_id AND t.content_hash = l.content_hash AND t.file = l.file AND t.line = l.line AND t.day = l.day
    AND t.title IS NOT DISTINCT FROM l.title AND t.description IS NOT DISTINCT FROM l.description
    AND t.category IS NOT DISTINCT FROM l.category AND t.attributes IS NOT DISTINCT FROM l.attributes
    AND t.image IS NOT DISTINCT FROM l.image AND t.price IS NOT DISTINCT FROM l.price
    AND t.updated_at IS NOT DISTINCT FROM l.updated_at)
