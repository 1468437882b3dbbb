-- Item lines as rows of bronze.raw_items, with the reason why a line is rejected. DuckDB runs it on blocks of lines:
-- the view `fields` has line, raw, problem, id_problem and the fields as text.
WITH typed AS (
  SELECT *, read_time(f_updated_at) AS instant, try_cast(f_price AS DOUBLE) AS price_number,
         CASE WHEN f_category LIKE '[%' THEN TRY(CAST(json(f_category) AS VARCHAR[])) END AS category_list
  FROM fields
), timed AS (
  SELECT *, CASE WHEN instant >= TIMESTAMPTZ '1970-01-01 00:00:00+00' AND instant < TIMESTAMPTZ '2262-01-01 00:00:00+00' THEN instant END AS updated_at
  FROM typed
), days AS (
  SELECT *, CAST(updated_at AT TIME ZONE 'UTC' AS DATE) AS utc_day, CAST(updated_at AT TIME ZONE $day_zone AS DATE) AS local_day
  FROM timed
)
SELECT $file AS file, line, raw,
       CASE
         WHEN problem IS NOT NULL THEN problem
         WHEN id_problem IS NOT NULL THEN id_problem
         WHEN coalesce(f_item_id, '') = '' THEN 'item_id is missing'
         WHEN length(f_item_id) > 256 OR contains(f_item_id, chr(0)) THEN 'an id is longer than 256 characters or holds a NUL'
         WHEN is_word_for_missing(f_item_id) THEN 'an id is a word for "missing", such as null'
         WHEN f_updated_at <> '' AND instant IS NULL THEN 'updated_at is not an ISO 8601 time'
         WHEN f_updated_at <> '' AND updated_at IS NULL THEN 'updated_at is not between 1970 and 2261'
         WHEN local_day > $folder_day THEN 'updated_at is in the future'
         WHEN f_price <> '' AND NOT coalesce(isfinite(price_number), false) THEN 'price is not a number'
       END AS reason,
       f_item_id AS item_id, nullif(trim(f_title), '') AS title, nullif(trim(f_description), '') AS description,
       CASE WHEN category_list IS NOT NULL THEN without_blanks(category_list)
            WHEN contains(f_category, '>') THEN without_blanks(string_split(f_category, '>'))
            ELSE without_blanks(string_split(f_category, '|')) END AS category,
       nullif(f_attributes, '') AS attributes, nullif(f_image, '') AS image, price_number AS price, updated_at,
       $run_id AS run_id, coalesce($folder_day, CASE WHEN utc_day IS NOT NULL THEN greatest(utc_day, $first_day) END, $undated_day) AS day
FROM days
