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
  WINDOW w AS (PARTITION BY on_day, user_id, coalesce(request_id, event_id), request_id IS NULL)
), without_user AS (
  SELECT item_id, request_id, ts, event_id, CASE WHEN event = 'click' THEN 1 ELSE 2 END AS kind FROM events
  WHERE event IN ('click', 'purchase') AND user_id IS NULL AND request_id IS NOT NULL
    AND day BETWEEN DATE '$since' AND DATE '$until'
), request_users AS (
  SELECT request_id, item_id, min(user_id) AS user_id FROM events SEMI JOIN without_user USING (request_id, item_id)
  WHERE event = 'impression' AND user_id IS NOT NULL AND day BETWEEN DATE '$since' AND DATE '$until'
  GROUP BY request_id, item_id HAVING min(user_id) = max(user_id)
), answers AS (
  SELECT e.user_id, e.item_id, e.request_id, e.ts, e.event_id, CASE WHEN event = 'click' THEN 1 ELSE 2 END AS kind,
    c.cancelled_at
  FROM events e LEFT JOIN cancelled c USING (event, day, event_id, item_id)
  WHERE event IN ('click', 'purchase') AND e.user_id IS NOT NULL AND day BETWEEN DATE '$since' AND DATE '$until'
  UNION ALL
  SELECT user_id, item_id, request_id, ts, event_id, kind, NULL
  FROM without_user JOIN request_users USING (request_id, item_id)
), log AS (
  SELECT user_id, item_id, request_id, ts, event_id, 0 AS kind, NULL::TIMESTAMPTZ AS cancelled_at
  FROM events SEMI JOIN answers USING (user_id, item_id)
  WHERE event = 'impression' AND day BETWEEN DATE '$since' AND DATE '$until'
  UNION ALL
  SELECT user_id, item_id, request_id, ts, event_id, kind, cancelled_at FROM answers
), by_request AS (
  SELECT *, last_value(CASE WHEN kind = 0 THEN {'ts': ts, 'event_id': event_id} END IGNORE NULLS)
    OVER (PARTITION BY user_id, item_id, request_id ORDER BY ts, kind, event_id) AS of_request
  FROM log
), by_item AS (
  SELECT *,
    last_value(CASE WHEN kind = 0 THEN of_request END IGNORE NULLS) OVER before AS of_item,
    last_value(CASE WHEN kind = 0 AND request_id IS NULL THEN of_request END IGNORE NULLS) OVER before AS of_no_request
  FROM by_request
  WINDOW before AS (PARTITION BY user_id, item_id ORDER BY ts, kind, event_id)
), touches AS (
  SELECT *, CASE WHEN epoch_us(ts) - epoch_us(impression.ts) <= $window THEN impression END AS touched
  FROM (
    SELECT * EXCLUDE (of_request, of_item, of_no_request), CASE
        WHEN request_id IS NULL THEN of_item
        WHEN of_request IS NULL OR of_no_request > of_request THEN of_no_request
        ELSE of_request
      END AS impression
    FROM (SELECT * REPLACE (CASE WHEN kind = 0 THEN NULL ELSE of_no_request END AS of_no_request) FROM by_item)
  )
), owned AS (
  SELECT user_id, item_id, ts, kind, cancelled_at, CASE WHEN kind = 1 THEN touched ELSE last_touch.touched END AS owner
  FROM (
    SELECT *, last_value(CASE WHEN kind < 2 THEN {'ts': ts, 'touched': touched} END IGNORE NULLS)
      OVER (PARTITION BY user_id, item_id ORDER BY ts, kind, event_id) AS last_touch
    FROM touches
  )
  WHERE kind = 1 OR (kind = 2 AND epoch_us(ts) - epoch_us(last_touch.ts) <= $window)
), labels AS (
  SELECT user_id, item_id, owner.ts AS ts, owner.event_id AS event_id, min(ts) FILTER (kind = 1) AS clicked_at,
    min(ts) FILTER (
      kind = 2 AND (cancelled_at IS NULL OR epoch_us(cancelled_at) - epoch_us(owner.ts) > 2 * $window)
    ) AS bought_at
  FROM owned WHERE owner IS NOT NULL GROUP BY ALL
), labelled AS (
  SELECT s.event_id, user_id, item_id, asked, began, request_id, position, day,
    CASE WHEN day >= DATE '$clicks_from' THEN clicked_at END AS clicked_at,
    CASE WHEN day >= DATE '$purchases_from' THEN bought_at END AS bought_at
  FROM (SELECT * FROM shown WHERE on_day = day) s LEFT JOIN labels USING (user_id, item_id, ts, event_id)
)
SELECT event_id AS sample_id, user_id, item_id, asked AS ts, began AS history_until, request_id, position,
  CASE WHEN day >= DATE '$clicks_from' THEN CAST(clicked_at IS NOT NULL AS INTEGER) END AS click,
  CASE WHEN day >= DATE '$purchases_from' THEN CAST(bought_at IS NOT NULL AS INTEGER) END AS purchase,
  CAST(NULL AS INTEGER) AS "like", clicked_at, bought_at, false AS sampled, day
FROM labelled
