-- Number the items of the window's positive events from 1. Cancelled purchases are none of them.
-- Items are numbered within parts, one after another, because Spark would sort all of them in one task.
WITH acted_on AS (
  SELECT DISTINCT item_id
  FROM silver.events LEFT ANTI JOIN cancelled USING (event, day, event_id, item_id)
  WHERE day > :after AND day <= :day AND user_id IS NOT NULL
    AND (event IN ('click', 'purchase') OR (event = 'rating' AND value >= :like_from))
), parted AS (
  SELECT item_id, pmod(xxhash64(item_id), 1024) AS part FROM acted_on
), starts AS (
  SELECT part, sum(amount) OVER (ORDER BY part) - amount AS start
  FROM (SELECT part, count(*) AS amount FROM parted GROUP BY part)
)
SELECT item_id, CAST(start + row_number() OVER (PARTITION BY part ORDER BY item_id) AS INT) AS item
FROM parted JOIN starts USING (part)
