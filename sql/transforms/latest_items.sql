-- The latest version of every item that this run may have changed: items that the days :since to :day have lines of,
-- and items whose version in silver.items is from these days (their lines may be gone from the landing folder).
WITH touched AS (
  SELECT item_id FROM bronze.raw_items WHERE reason IS NULL AND day BETWEEN :since AND :day
  UNION
  SELECT item_id FROM silver.items WHERE day BETWEEN :since AND :day
), ranked AS (
  SELECT r.*, row_number() OVER (
           PARTITION BY item_id
           ORDER BY coalesce(updated_at, CAST(day AS TIMESTAMP)) DESC, day DESC, file DESC, line DESC) AS nth
  FROM bronze.raw_items r LEFT SEMI JOIN touched USING (item_id)
  WHERE r.reason IS NULL
), newest AS (
  SELECT *, concat_ws('. ', title, nullif(concat_ws(' > ', category), ''), description, attributes) AS described
  FROM ranked WHERE nth = 1
), texts AS (
  SELECT *, CASE WHEN described = '' THEN item_id ELSE described END AS text FROM newest
)
SELECT item_id, title, description, category, attributes, image, price, updated_at, text,
       sha2(concat_ws(char(10), text, image), 256) AS content_hash, file, line, day
FROM texts
