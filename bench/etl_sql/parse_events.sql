-- The rules of sql/transforms/parse_events.sql, in their order.
SELECT file, line, raw,
       CASE
         WHEN NOT is_object THEN 'not a JSON object'
         WHEN coalesce(event_id, '') = '' THEN 'event_id is missing'
         WHEN coalesce(item_id, '') = '' THEN 'item_id is missing'
         WHEN coalesce(event, '') = '' THEN 'event is missing'
         WHEN lower(event) NOT IN ('impression', 'click', 'purchase', 'cancel', 'rating') THEN 'event is of an unknown type'
         WHEN NOT ts_given THEN 'ts is missing'
         WHEN ts IS NULL THEN 'ts is not an ISO 8601 time'
         WHEN CAST(ts AS DATE) > coalesce(folder_day, CAST(ts AS DATE)) THEN 'ts is in the future'
         WHEN value_given AND (value IS NULL OR isnan(value)) THEN 'value is not a number'
         WHEN price_given AND (price IS NULL OR isnan(price)) THEN 'price is not a number'
         WHEN position_given AND position IS NULL THEN 'position is not a whole number'
         WHEN seq_given AND seq IS NULL THEN 'seq is not a whole number'
         WHEN lower(event) = 'rating' AND value IS NULL THEN 'a rating without a value'
       END AS reason,
       event_id, nullif(user_id, '') AS user_id, item_id, lower(event) AS event, ts, value, price,
       nullif(request_id, '') AS request_id, position, nullif(order_id, '') AS order_id, seq,
       CAST(ts AS DATE) AS event_day, coalesce(folder_day, CAST(ts AS DATE)) AS due
FROM ($lines)
