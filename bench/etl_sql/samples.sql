-- The rule of sql/transforms/samples_impression.sql over the days $since to $day.
WITH shown AS (
  SELECT *, min(ts) OVER w AS began, min(CASE WHEN on_day = day THEN ts END) OVER w AS asked
  FROM (
    SELECT event_id, user_id, item_id, ts, request_id, position, day,
      unnest(CASE WHEN hour(ts) = 23 THEN [day, day + 1] ELSE [day] END) AS on_day
    FROM events
    WHERE event = 'impression' AND user_id IS NOT NULL
      AND day >= DATE '$since' - 1 AND day <= DATE '$day' AND (day >= DATE '$since' OR hour(ts) = 23)
  )
  WHERE on_day BETWEEN DATE '$since' AND DATE '$day'
  WINDOW w AS (PARTITION BY on_day, coalesce(request_id, event_id), request_id IS NULL)
), answers AS (
  SELECT day, request_id, user_id, item_id,
    max(ts) FILTER (event = 'click') AS clicked, max(ts) FILTER (event = 'purchase') AS bought
  FROM events
  WHERE event IN ('click', 'purchase') AND day BETWEEN DATE '$since' AND DATE '$day'
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
  SELECT s.* EXCLUDE (any_request), greatest(r.clicked, u.clicked) >= s.ts AS clicked,
    greatest(r.bought, u.bought) >= s.ts AS bought
  FROM (SELECT *, request_id IS NULL AS any_request FROM shown WHERE on_day = day) s
  LEFT JOIN to_request r USING (day, request_id, item_id)
  LEFT JOIN to_user u USING (day, user_id, item_id, any_request)
)
SELECT event_id AS sample_id, user_id, item_id, asked AS ts, began AS history_until, request_id, position,
  CASE WHEN day >= DATE '$clicks_from' THEN CAST(coalesce(clicked, false) AS INTEGER) END AS click,
  CASE WHEN day >= DATE '$purchases_from' THEN CAST(coalesce(bought, false) AS INTEGER) END AS purchase,
  CAST(NULL AS INTEGER) AS "like", false AS sampled, day
FROM answered
