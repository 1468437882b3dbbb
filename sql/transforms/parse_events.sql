-- Event lines as rows of bronze.raw_events, with the reason why a line is rejected. DuckDB runs it on blocks of lines:
-- the view `fields` has line, raw, problem, id_problem and the fields as text.
WITH typed AS (
  SELECT *, read_time(f_ts) AS instant, try_cast(f_value AS DOUBLE) AS value_number, try_cast(f_price AS DOUBLE) AS price_number,
         try_cast(f_position AS DOUBLE) AS position_number,
         CASE WHEN regexp_full_match(f_seq, '[+-]?[0-9]+') THEN try_cast(f_seq AS BIGINT)
              WHEN try_cast(f_seq AS DOUBLE) = floor(try_cast(f_seq AS DOUBLE)) THEN try_cast(f_seq AS BIGINT) END AS seq_number
  FROM fields
), timed AS (
  SELECT *, CASE WHEN instant >= TIMESTAMPTZ '1970-01-01 00:00:00+00' AND instant < TIMESTAMPTZ '2262-01-01 00:00:00+00' THEN instant END AS ts
  FROM typed
), days AS (
  SELECT *, CAST(ts AT TIME ZONE 'UTC' AS DATE) AS event_day, CAST(ts AT TIME ZONE $day_zone AS DATE) AS local_day FROM timed
)
SELECT $file AS file, line, raw,
       CASE
         WHEN problem IS NOT NULL THEN problem
         WHEN f_event = 'ignore' THEN $ignored
         WHEN id_problem IS NOT NULL THEN id_problem
         WHEN coalesce(f_event_id, '') = '' THEN 'event_id is missing'
         WHEN coalesce(f_item_id, '') = '' THEN 'item_id is missing'
         WHEN greatest(length(f_event_id), length(f_item_id), length(f_user_id)) > 256
           OR contains(f_event_id || f_item_id || coalesce(f_user_id, ''), chr(0))
           THEN 'an id is longer than 256 characters or holds a NUL'
         WHEN is_word_for_missing(f_event_id) OR is_word_for_missing(f_item_id) OR is_word_for_missing(f_user_id)
           THEN 'an id is a word for "missing", such as null'
         WHEN coalesce(f_event, '') = '' THEN 'event is missing'
         WHEN f_event NOT IN ('impression', 'click', 'purchase', 'cancel', 'rating') THEN 'event is of an unknown type'
         WHEN coalesce(f_ts, '') = '' THEN 'ts is missing'
         WHEN instant IS NULL THEN 'ts is not an ISO 8601 time'
         WHEN ts IS NULL THEN 'ts is not between 1970 and 2261'
         WHEN local_day > $folder_day THEN 'ts is in the future'
         WHEN f_value <> '' AND NOT coalesce(isfinite(value_number), false) THEN 'value is not a number'
         WHEN f_price <> '' AND NOT coalesce(isfinite(price_number), false) THEN 'price is not a number'
         WHEN f_position <> '' AND NOT coalesce(position_number = floor(position_number), false)
           THEN 'position is not a whole number'
         WHEN position_number < 0 OR position_number > 2147483647 THEN 'position is not between 0 and 2147483647'
         WHEN f_seq <> '' AND seq_number IS NULL THEN 'seq is not a whole number'
         WHEN f_event = 'rating' AND value_number IS NULL THEN 'a rating without a value'
         WHEN event_day < least($folder_day, $since) - $late_days THEN 'ts is too late' -- last: merge_lines_events.sql may lift it
       END AS reason,
       f_event_id AS event_id, nullif(f_user_id, '') AS user_id, f_item_id AS item_id, f_event AS event, ts,
       value_number AS value, price_number AS price, nullif(f_request_id, '') AS request_id,
       try_cast(position_number AS INTEGER) AS position, nullif(f_order_id, '') AS order_id, seq_number AS seq,
       event_day, $run_id AS run_id,
       CASE WHEN local_day > $folder_day THEN $folder_day ELSE coalesce(greatest($folder_day, event_day), $day) END AS day
FROM days
