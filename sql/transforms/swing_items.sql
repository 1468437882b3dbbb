-- Number the items of the window's positive events, in the order of their IDs: pairs with equal scores are ordered by it.
-- (Spark sorts the IDs in one task.) Cancelled purchases are none of these events.
SELECT item_id, CAST(row_number() OVER (ORDER BY item_id) AS INT) AS item
FROM (
  SELECT DISTINCT item_id
  FROM silver.histories LEFT ANTI JOIN cancelled USING (event, day, event_id, item_id)
  WHERE day > :after AND day <= :day
    AND (event IN ('click', 'purchase') OR (event = 'rating' AND value >= :like_from))
)
