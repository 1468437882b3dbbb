-- Each purchase of a known user, and negatives: items drawn in proportion to the purchases of the UTC day.
-- A purchase that is cancelled at most 2 * :window microseconds (`attribution_hours`) later is no purchase.
-- The day's purchases lie on a line, item after item. The stretches of items that the user bought that day are cut out.
-- The hash of the event and of the draw's number picks a place on what is left. So every draw is a valid negative, and
-- no draw depends on the order of rows.
WITH purchases AS (
  SELECT * FROM silver.events
    LEFT ANTI JOIN (SELECT * FROM cancelled WHERE unix_micros(cancelled_at) - unix_micros(ts) <= 2 * :window)
    USING (event, day, event_id, item_id)
  WHERE event = 'purchase' AND day >= :since AND day <= :day
), bought AS (
  SELECT event_id, user_id, item_id, ts, coalesce(request_id, order_id, event_id) AS request_id, position, day,
    min(ts) OVER (PARTITION BY day, user_id, coalesce(request_id, order_id, event_id)) AS began
  FROM purchases WHERE user_id IS NOT NULL
), sold AS (
  SELECT day, item_id, count(*) AS amount, pmod(xxhash64(item_id), 256) AS part FROM purchases GROUP BY day, item_id
), parts AS ( -- of a day's line, so that no task of Spark holds the whole line
  SELECT day, part, sum(amount) OVER (PARTITION BY day ORDER BY part) - amount AS start,
    sum(amount) OVER (PARTITION BY day) AS total
  FROM (SELECT day, part, sum(amount) AS amount FROM sold GROUP BY day, part)
), stretches AS (
  SELECT s.day, s.item_id, s.amount, CAST(p.total AS BIGINT) AS total,
    CAST(p.start + sum(s.amount) OVER (PARTITION BY s.day, s.part ORDER BY s.item_id) - s.amount AS BIGINT) AS start
  FROM sold s JOIN parts p ON s.day = p.day AND s.part = p.part
), line AS (
  SELECT day, item_id, explode(sequence(start, start + amount - 1)) AS place FROM stretches
), user_cuts AS (
  SELECT day, user_id, array_sort(collect_list(struct(start, amount))) AS cuts,
    CAST(max(total) - sum(amount) AS BIGINT) AS others
  FROM (SELECT DISTINCT day, user_id, item_id FROM bought) JOIN stretches USING (day, item_id)
  GROUP BY day, user_id
), draws AS (
  SELECT b.*, number, aggregate(o.cuts, pmod(xxhash64(b.event_id, number), o.others),
    (place, cut) -> IF(place >= cut.start, place + cut.amount, place)) AS place
  FROM (SELECT *, explode(sequence(1, :negatives)) AS number FROM bought) b
  JOIN user_cuts o USING (day, user_id)
  WHERE o.others > 0
), samples AS (
  SELECT event_id AS sample_id, user_id, item_id, began, request_id, position, 1 AS purchase, ts AS bought_at, day
  FROM bought
  UNION ALL
  SELECT concat(event_id, '#', number), user_id, l.item_id, began, request_id, CAST(NULL AS INT), 0, NULL, day
  FROM draws JOIN line l USING (day, place)
)
SELECT sample_id, user_id, item_id, began AS ts, began AS history_until, request_id, position,
  CAST(NULL AS INT) AS click, purchase, CAST(NULL AS INT) AS like, CAST(NULL AS TIMESTAMP) AS clicked_at, bought_at,
  purchase = 0 AS sampled, day
FROM samples
