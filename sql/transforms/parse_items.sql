-- The view `item_lines` (landed lines) as fields, with the day on which each line was due and why it is rejected.
WITH parsed AS (
  SELECT file, line, raw, folder_day,
         CASE WHEN fields IS NULL THEN from_json('[' || raw || ']', :fields) ELSE array(fields) END AS objects
  FROM item_lines
), fields AS (
  SELECT *, get(objects, 0) AS f FROM parsed
), typed AS (
  SELECT file, line, raw, folder_day, objects, f,
         CASE WHEN f.updated_at RLIKE '^[0-9]{4}-[0-9]{2}-[0-9]{2}' THEN try_cast(f.updated_at AS TIMESTAMP) END AS at,
         try_cast(f.price AS DOUBLE) AS price,
         CASE WHEN f.category LIKE '[%' THEN from_json(f.category, 'ARRAY<STRING>')
              WHEN coalesce(f.category, '') <> '' THEN array(f.category) END AS category
  FROM fields
), timed AS (
  SELECT *, CASE WHEN at >= TIMESTAMP'1970-01-01' AND at < TIMESTAMP'2262-01-01' THEN at END AS updated_at FROM typed
), days AS (
  SELECT *, coalesce(folder_day, to_date(updated_at)) AS due FROM timed
)
SELECT file, line, raw,
       CASE
         WHEN raw LIKE 'more fields than the header: %' THEN 'more fields than the header'
         WHEN coalesce(size(objects), 0) <> 1 OR f IS NULL OR raw NOT LIKE '{%}' THEN 'not a JSON object'
         WHEN coalesce(f.item_id, '') = '' THEN 'item_id is missing'
         WHEN length(f.item_id) > 256 OR instr(f.item_id, char(0)) > 0
           THEN 'an id is longer than 256 characters or holds a NUL'
         WHEN f.updated_at IS NOT NULL AND at IS NULL THEN 'updated_at is not an ISO 8601 time'
         WHEN f.updated_at IS NOT NULL AND updated_at IS NULL THEN 'updated_at is not between 1970 and 2261'
         WHEN to_date(updated_at) > due THEN 'updated_at is in the future'
         WHEN f.price IS NOT NULL AND (price IS NULL OR isnan(price)) THEN 'price is not a number'
       END AS reason,
       f.item_id, nullif(trim(f.title), '') AS title, nullif(trim(f.description), '') AS description,
       category, nullif(f.attributes, '') AS attributes, nullif(f.image, '') AS image, price, updated_at, due AS day
FROM days
