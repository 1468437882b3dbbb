-- Each rating of a known user, with the label: 1 if it is at least :like_from.
SELECT event_id AS sample_id, user_id, item_id, ts, ts AS history_until, request_id, position,
  CAST(NULL AS INT) AS click, CAST(NULL AS INT) AS purchase, int(value >= :like_from) AS like,
  CAST(NULL AS TIMESTAMP) AS clicked_at, CAST(NULL AS TIMESTAMP) AS bought_at, false AS sampled, day
FROM silver.events
WHERE event = 'rating' AND user_id IS NOT NULL AND value IS NOT NULL AND day >= :since AND day <= :day
