-- Number the items of the window's positive events: pairs with equal scores are ordered by these numbers. Each of 256
-- parts is numbered by a task of its own, in the order of its item IDs. Cancelled purchases are none of these events.
WITH items AS (
  SELECT item_id, pmod(xxhash64(item_id), 256) AS part FROM (
    SELECT DISTINCT item_id
    FROM silver.histories LEFT ANTI JOIN cancelled USING (event, day, event_id, item_id)
    WHERE day > :after AND day <= :day
      AND (event IN ('click', 'purchase') OR (event = 'rating' AND value >= :like_from))
  )
), parts AS (
  SELECT part, sum(amount) OVER (ORDER BY part) - amount AS start
  FROM (SELECT part, count(*) AS amount FROM items GROUP BY part)
)
SELECT item_id, CAST(start + row_number() OVER (PARTITION BY part ORDER BY item_id) AS INT) AS item
FROM items JOIN parts USING (part)
