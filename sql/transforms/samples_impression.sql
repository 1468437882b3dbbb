-- Each impression of a known user, with labels: 1 if a click or purchase belongs to it.
-- A click belongs to the latest impression of the same user and item, and of the same request if both have one.
-- A purchase belongs to the latest impression or click of the same user and item, whatever its request. If that is a
-- click, the purchase counts for the click's impression.
-- A click or purchase without a user is of the user to whom its request showed the item, if that was one user.
-- Both must come at most :window microseconds (`attribution_hours`) later, at the earliest at the same moment.
-- A purchase that is cancelled at most two windows after the impression does not count.
-- A label is unknown (null) before the first day on which the log has such events.
-- A request may begin in the last hour of the day before, so those impressions count for both days (on_day).
WITH shown AS (
  SELECT *, min(ts) OVER (PARTITION BY on_day, user_id, coalesce(request_id, event_id), request_id IS NULL) AS began,
    min(IF(on_day = day, ts, NULL))
      OVER (PARTITION BY on_day, user_id, coalesce(request_id, event_id), request_id IS NULL) AS asked
  FROM (
    SELECT event_id, user_id, item_id, ts, request_id, position, day,
      explode(IF(hour(ts) = 23, array(day, date_add(day, 1)), array(day))) AS on_day
    FROM silver.events
    WHERE event = 'impression' AND user_id IS NOT NULL
      AND day >= date_sub(:since, 1) AND day <= :day AND (day >= :since OR hour(ts) = 23)
  )
  WHERE on_day >= :since AND on_day <= :day
), without_user AS (
  SELECT item_id, request_id, ts, event_id, IF(event = 'click', 1, 2) AS kind FROM silver.events
  WHERE event IN ('click', 'purchase') AND user_id IS NULL AND request_id IS NOT NULL
    AND day >= :since AND day <= :until
), request_users AS (
  SELECT request_id, item_id, min(user_id) AS user_id
  FROM silver.events LEFT SEMI JOIN without_user USING (request_id, item_id)
  WHERE event = 'impression' AND user_id IS NOT NULL AND day >= :since AND day <= :until
  GROUP BY request_id, item_id HAVING min(user_id) = max(user_id)
), answers AS (
  SELECT e.user_id, e.item_id, e.request_id, e.ts, e.event_id, IF(event = 'click', 1, 2) AS kind, c.cancelled_at
  FROM silver.events e LEFT JOIN cancelled c USING (event, day, event_id, item_id)
  WHERE event IN ('click', 'purchase') AND e.user_id IS NOT NULL AND day >= :since AND day <= :until
  UNION ALL
  SELECT user_id, item_id, request_id, ts, event_id, kind, NULL
  FROM without_user JOIN request_users USING (request_id, item_id)
), log AS (
  -- kind: 0 impression, 1 click, 2 purchase, in the order in which they follow each other at the same moment
  SELECT user_id, item_id, request_id, ts, event_id, 0 AS kind, CAST(NULL AS TIMESTAMP) AS cancelled_at
  FROM silver.events LEFT SEMI JOIN answers USING (user_id, item_id)
  WHERE event = 'impression' AND day >= :since AND day <= :until
  UNION ALL
  SELECT user_id, item_id, request_id, ts, event_id, kind, cancelled_at FROM answers
), by_request AS (
  SELECT *, max(IF(kind = 0, struct(ts, event_id), NULL))
    OVER (PARTITION BY user_id, item_id, request_id ORDER BY ts, kind, event_id) AS of_request
  FROM log
), by_item AS (
  SELECT *, CASE
      WHEN kind = 0 THEN of_request
      WHEN request_id IS NULL THEN max(IF(kind = 0, of_request, NULL)) OVER before
      ELSE greatest(of_request, max(IF(kind = 0 AND request_id IS NULL, of_request, NULL)) OVER before)
    END AS impression
  FROM by_request
  WINDOW before AS (PARTITION BY user_id, item_id ORDER BY ts, kind, event_id)
), touches AS (
  SELECT *, IF(unix_micros(ts) - unix_micros(impression.ts) <= :window, impression, NULL) AS touched FROM by_item
), owned AS (
  SELECT user_id, item_id, ts, kind, cancelled_at, IF(kind < 2, touched, last_touch.touched) AS impression
  FROM (
    SELECT *, max(IF(kind < 2, struct(ts, kind, touched), NULL))
      OVER (PARTITION BY user_id, item_id ORDER BY ts, kind, event_id) AS last_touch
    FROM touches
  )
  WHERE kind = 1 OR (kind = 2 AND unix_micros(ts) - unix_micros(last_touch.ts) <= :window)
), labels AS (
  SELECT user_id, item_id, impression.ts, impression.event_id,
    min(IF(kind = 1, ts, NULL)) AS clicked_at,
    min(IF(kind = 2 AND coalesce(unix_micros(cancelled_at) - unix_micros(impression.ts) > 2 * :window, true), ts, NULL))
      AS bought_at
  FROM owned WHERE impression IS NOT NULL GROUP BY user_id, item_id, impression
), labelled AS (
  SELECT s.event_id, user_id, item_id, asked, began, request_id, position, day,
    IF(day >= :clicks_from, clicked_at, NULL) AS clicked_at, IF(day >= :purchases_from, bought_at, NULL) AS bought_at
  FROM (SELECT * FROM shown WHERE on_day = day) s LEFT JOIN labels USING (user_id, item_id, ts, event_id)
)
SELECT event_id AS sample_id, user_id, item_id, asked AS ts, began AS history_until, request_id, position,
  IF(day >= :clicks_from, int(clicked_at IS NOT NULL), NULL) AS click,
  IF(day >= :purchases_from, int(bought_at IS NOT NULL), NULL) AS purchase,
  CAST(NULL AS INT) AS like, clicked_at, bought_at, false AS sampled, day
FROM labelled
