-- What known users clicked, bought or liked until a day, without purchases that were cancelled until then. Items are
-- numbers: `item_index` has the number of each item.
SELECT user_id, unix_micros(ts) AS ts, coalesce(seq, 0) AS seq, item, day,
  CASE event WHEN 'click' THEN 0 WHEN 'purchase' THEN 1 ELSE 2 END AS kind
FROM silver.histories LEFT ANTI JOIN cancelled USING (event, day, event_id, item_id) JOIN item_index USING (item_id)
WHERE day <= :day AND (event IN ('click', 'purchase') OR (event = 'rating' AND value >= :like_from))
