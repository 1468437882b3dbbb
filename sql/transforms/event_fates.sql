-- Number of duplicates among the good lines that were due in the days :since to :day, from bronze.raw_events alone:
-- lines minus events that were due first in these days. :days are the event days of those lines.
WITH events AS (
  SELECT event_day, event_id, min(day) AS first_day, count_if(day BETWEEN :since AND :day) AS lines
  FROM bronze.raw_events
  WHERE reason IS NULL AND event_day IN :days
  GROUP BY event_day, event_id
)
SELECT coalesce(sum(lines), 0) - count_if(first_day BETWEEN :since AND :day) AS rows_duplicate
FROM events
