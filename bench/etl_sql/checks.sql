-- The checks of expectations/ on both tables, and that rows in = rows out + rejects + duplicates. The query returns no
-- row if all of them hold.
WITH event_counts AS (
  SELECT count(*) - count(event_id) AS event_id, count(*) - count(item_id) AS item_id, count(*) - count(ts) AS ts,
    count_if(event NOT IN ('impression', 'click', 'purchase', 'cancel', 'rating')) AS event,
    count(*) - count(DISTINCT (day, event_id)) AS twice, count(*) AS rows_out
  FROM events
), item_counts AS (
  SELECT count(*) - count(DISTINCT item_id) AS twice, count(*) - count(text) AS text,
    count_if(length(content_hash) <> 64) AS content_hash
  FROM items
), good_lines AS (
  SELECT sum(lines) AS lines, sum(lines - 1) AS duplicate
  FROM (SELECT count(*) AS lines FROM raw_events WHERE reason IS NULL GROUP BY event_day, event_id)
)
SELECT * FROM event_counts e, item_counts i, good_lines
WHERE e.event_id + e.item_id + ts + event + e.twice + i.twice + text + content_hash > 0
   OR lines <> rows_out + duplicate
