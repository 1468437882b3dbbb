-- For each item at most :users_per_item of its users, chosen by a hash. Each user comes with a weight, 1/sqrt(items),
-- and with the latest :items_per_user items. Cancelled purchases do not count. Only items of the part :part of :parts.
WITH positives AS (
  SELECT /*+ REPARTITION(user_id) */ e.user_id, n.item, e.ts
  FROM silver.histories e LEFT ANTI JOIN cancelled USING (event, day, event_id, item_id)
  JOIN swing_items n USING (item_id)
  WHERE e.day > :after AND e.day <= :day
    AND (e.event IN ('click', 'purchase') OR (e.event = 'rating' AND e.value >= :like_from))
), acted AS (
  SELECT user_id, item, max(ts) AS latest FROM positives GROUP BY user_id, item
), users AS (
  SELECT user_id, 1 / sqrt(count(*)) AS weight,
    transform(slice(array_sort(collect_list(struct(-unix_micros(latest) AS age, item))), 1, :items_per_user), i -> i.item) AS items
  FROM acted GROUP BY user_id HAVING count(*) > 1
), edges AS (
  SELECT item, xxhash64(item, user_id) AS turn, user_id FROM (SELECT user_id, explode(items) AS item FROM users)
  WHERE item % :parts = :part
), ranked AS (
  SELECT *, row_number() OVER (PARTITION BY item ORDER BY turn, user_id) AS place FROM edges
), chosen AS ( -- the lists of items come last: they are copied for these users alone
  SELECT item, turn, user_id, weight, items FROM ranked JOIN users USING (user_id) WHERE place <= :users_per_item
)
SELECT item, sort_array(collect_list(struct(turn, user_id, weight, items))) AS users
FROM chosen GROUP BY item HAVING count(*) > 1
