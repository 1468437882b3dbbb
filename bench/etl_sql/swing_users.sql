-- As sql/transforms/swing_users.sql. If an item has too many users, DuckDB's hash chooses other users than Spark's.
WITH acted AS (
  SELECT user_id, item, max(ts) AS latest
  FROM standing_events JOIN swing_items USING (item_id)
  WHERE day > DATE '$after' AND day <= DATE '$day' AND user_id IS NOT NULL
    AND (event IN ('click', 'purchase') OR (event = 'rating' AND value >= $like_from))
  GROUP BY user_id, item
), users AS (
  SELECT user_id, 1 / sqrt(count(*)) AS weight, list(item ORDER BY latest DESC, item)[1:$items_per_user] AS items
  FROM acted GROUP BY user_id HAVING count(*) > 1
), edges AS (
  SELECT item, hash(item, user_id) AS turn, user_id, weight, items
  FROM (SELECT user_id, weight, items, unnest(items) AS item FROM users)
), chosen AS (
  SELECT * FROM edges
  QUALIFY row_number() OVER (PARTITION BY item ORDER BY turn, user_id) <= $users_per_item
)
SELECT item, list({'weight': weight, 'items': items} ORDER BY turn, user_id) AS users
FROM chosen GROUP BY item HAVING count(*) > 1
