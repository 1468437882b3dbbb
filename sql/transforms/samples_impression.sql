-- Each impression of a known user, with labels: 1 if a click or purchase of the same UTC day answers it.
-- An event answers the impressions of its own request and item. If the event or the impression has no request, it
-- answers the impressions of the same user and item. It must not come before the impression.
-- A label is unknown (null) before the first day on which the log has such events.
-- A request may begin in the last hour of the day before, so those impressions count for both days (on_day).
WITH shown AS (
  SELECT *, min(ts) OVER (PARTITION BY on_day, coalesce(request_id, event_id), request_id IS NULL) AS began,
    min(IF(on_day = day, ts, NULL)) OVER (PARTITION BY on_day, coalesce(request_id, event_id), request_id IS NULL) AS asked
  FROM (
    SELECT event_id, user_id, item_id, ts, request_id, position, day,
      explode(IF(hour(ts) = 23, array(day, date_add(day, 1)), array(day))) AS on_day
    FROM silver.events
    WHERE event = 'impression' AND user_id IS NOT NULL
      AND day >= date_sub(:since, 1) AND day <= :day AND (day >= :since OR hour(ts) = 23)
  )
  WHERE on_day >= :since AND on_day <= :day
), answers AS (
  SELECT day, request_id, user_id, item_id,
    max(IF(event = 'click', ts, NULL)) AS clicked, max(IF(event = 'purchase', ts, NULL)) AS bought
  FROM silver.events
  WHERE event IN ('click', 'purchase') AND day >= :since AND day <= :day
  GROUP BY day, request_id, user_id, item_id
), to_request AS (
  SELECT day, request_id, item_id, max(clicked) AS clicked, max(bought) AS bought
  FROM answers WHERE request_id IS NOT NULL GROUP BY day, request_id, item_id
), to_user AS (
  SELECT day, user_id, item_id, true AS any_request, max(clicked) AS clicked, max(bought) AS bought
  FROM answers WHERE user_id IS NOT NULL GROUP BY day, user_id, item_id
  UNION ALL
  SELECT day, user_id, item_id, false AS any_request, max(clicked) AS clicked, max(bought) AS bought
  FROM answers WHERE user_id IS NOT NULL AND request_id IS NULL GROUP BY day, user_id, item_id
), answered AS (
  SELECT s.*, greatest(r.clicked, u.clicked) >= s.ts AS clicked, greatest(r.bought, u.bought) >= s.ts AS bought
  FROM (SELECT *, request_id IS NULL AS any_request FROM shown WHERE on_day = day) s
  LEFT JOIN to_request r USING (day, request_id, item_id)
  LEFT JOIN to_user u USING (day, user_id, item_id, any_request)
)
SELECT event_id AS sample_id, user_id, item_id, asked AS ts, began AS history_until, request_id, position,
  IF(day >= :clicks_from, int(coalesce(clicked, false)), NULL) AS click,
  IF(day >= :purchases_from, int(coalesce(bought, false)), NULL) AS purchase,
  CAST(NULL AS INT) AS like, false AS sampled, day
FROM answered
