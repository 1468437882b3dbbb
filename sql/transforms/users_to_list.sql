-- The history of each user who did or saw anything from the day :active_from on; null if the user has none. `acted`:
-- see acted.sql.
WITH visitors AS (
  SELECT DISTINCT user_id FROM silver.events WHERE user_id IS NOT NULL AND day >= :active_from AND day <= :day
), histories AS (
  SELECT user_id, array_sort(collect_list(struct(ts, seq, item, kind))) AS events FROM acted GROUP BY user_id
)
SELECT user_id, events FROM visitors LEFT JOIN histories USING (user_id)
