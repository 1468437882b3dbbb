-- Every item of the window's positive events with a number, in the order of item ids.
SELECT item_id, CAST(row_number() OVER (ORDER BY item_id) AS INT) AS item
FROM (
  SELECT DISTINCT item_id
  FROM silver.events
  WHERE day > :after AND day <= :day AND user_id IS NOT NULL
    AND (event IN ('click', 'purchase') OR (event = 'rating' AND value >= :like_from))
)
