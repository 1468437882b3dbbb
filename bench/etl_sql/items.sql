-- The latest version of every item.
WITH latest AS (
  SELECT *, concat_ws('. ', title, array_to_string(category, ' > '), description, attributes) AS described
  FROM raw_items
  WHERE reason IS NULL
  QUALIFY row_number() OVER (
    PARTITION BY item_id
    ORDER BY coalesce(updated_at, CAST(day AS TIMESTAMPTZ)) DESC, day DESC, file DESC, line DESC) = 1
), texts AS (
  SELECT *, CASE WHEN described = '' THEN item_id ELSE described END AS text FROM latest
)
SELECT item_id, title, description, category, attributes, image, price, updated_at, text,
       sha256(concat_ws(chr(10), text, image)) AS content_hash, file, line, day
FROM texts
