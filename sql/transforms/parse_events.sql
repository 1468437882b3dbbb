-- The view `event_lines` (landed lines) as fields, with the day on which each line was due and why it is rejected.
WITH parsed AS (
  SELECT file, line, raw, folder_day,
         CASE WHEN fields IS NULL THEN from_json('[' || raw || ']', :fields) ELSE array(fields) END AS objects
  FROM event_lines
), fields AS (
  SELECT *, get(objects, 0) AS f FROM parsed
), typed AS (
  SELECT file, line, raw, folder_day, objects, f,
         -- Spark would read a time without a date as a time of today
         CASE WHEN f.ts RLIKE '^[0-9]{4}-[0-9]{2}-[0-9]{2}' THEN try_cast(f.ts AS TIMESTAMP) END AS at,
         try_cast(f.value AS DOUBLE) AS value, try_cast(f.price AS DOUBLE) AS price,
         try_cast(f.position AS INT) AS position, try_cast(f.seq AS BIGINT) AS seq,
         lower(f.event) AS event
  FROM fields
), timed AS (
  SELECT *, CASE WHEN at >= TIMESTAMP'1970-01-01' AND at < TIMESTAMP'2262-01-01' THEN at END AS ts FROM typed
), days AS (
  SELECT *, to_date(ts) AS event_day, coalesce(folder_day, to_date(ts)) AS due FROM timed
)
SELECT file, line, raw,
       CASE
         WHEN raw LIKE 'more fields than the header: %' THEN 'more fields than the header'
         WHEN coalesce(size(objects), 0) <> 1 OR f IS NULL OR raw NOT LIKE '{%}' THEN 'not a JSON object'
         WHEN coalesce(f.event_id, '') = '' THEN 'event_id is missing'
         WHEN coalesce(f.item_id, '') = '' THEN 'item_id is missing'
         WHEN greatest(length(f.event_id), length(f.item_id), length(f.user_id)) > 256
           OR instr(concat_ws('', f.event_id, f.item_id, f.user_id), char(0)) > 0
           THEN 'an id is longer than 256 characters or holds a NUL'
         WHEN coalesce(f.event, '') = '' THEN 'event is missing'
         WHEN event NOT IN ('impression', 'click', 'purchase', 'cancel', 'rating') THEN 'event is of an unknown type'
         WHEN coalesce(f.ts, '') = '' THEN 'ts is missing'
         WHEN at IS NULL THEN 'ts is not an ISO 8601 time'
         WHEN ts IS NULL THEN 'ts is not between 1970 and 2261'
         WHEN event_day > due THEN 'ts is in the future'
         WHEN f.value IS NOT NULL AND (value IS NULL OR isnan(value)) THEN 'value is not a number'
         WHEN f.price IS NOT NULL AND (price IS NULL OR isnan(price)) THEN 'price is not a number'
         WHEN f.position IS NOT NULL AND position IS NULL THEN 'position is not a whole number'
         WHEN f.seq IS NOT NULL AND seq IS NULL THEN 'seq is not a whole number'
         WHEN event = 'rating' AND value IS NULL THEN 'a rating without a value'
       END AS reason,
       f.event_id, nullif(f.user_id, '') AS user_id, f.item_id, event, ts, value, price,
       nullif(f.request_id, '') AS request_id, position, nullif(f.order_id, '') AS order_id, seq,
       event_day, due AS day
FROM days
