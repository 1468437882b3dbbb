-- What expectations/ asks of both tables, and that rows in = rows out + rejects + duplicates. No row: all holds.
WITH told AS (
  SELECT count(*) - count(event_id) AS event_id, count(*) - count(item_id) AS item_id, count(*) - count(ts) AS ts,
    count_if(event NOT IN ('impression', 'click', 'purchase', 'cancel', 'rating')) AS event,
    count(*) - count(DISTINCT (day, event_id)) AS twice, count(*) AS rows_out
  FROM events
), items AS (
  SELECT count(*) - count(DISTINCT item_id) AS twice, count(*) - count(text) AS text,
    count_if(length(content_hash) <> 64) AS content_hash
  FROM items
), good AS (
  SELECT sum(lines) AS lines, sum(lines - 1) AS duplicate
  FROM (SELECT count(*) AS lines FROM raw_events WHERE reason IS NULL GROUP BY event_day, event_id)
)
SELECT * FROM told, items, good
WHERE told.event_id + told.item_id + ts + event + told.twice + items.twice + text + content_hash > 0
   OR lines <> rows_out + duplicate
