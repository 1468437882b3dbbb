-- What became of the good event lines that were due in the days :due_days, from bronze.raw_events alone. :days are the
-- event days of those lines. Of the lines of an event, one is kept. A further line is a duplicate if it says the same
-- as a line before it, else it is conflicting.
WITH contents AS (
  SELECT event_day, event_id, event, item_id, min(day) AS first_day, count(*) AS lines,
         count_if(day IN :due_days) AS due_lines
  FROM bronze.raw_events
  WHERE reason IS NULL AND event_day IN :days
  GROUP BY event_day, event_id, event, item_id, user_id, ts, value, price, request_id, position, order_id, seq
), events AS (
  SELECT min(first_day) AS event_first_day, count_if(first_day IN :due_days) AS due_versions, sum(due_lines) AS due_lines
  FROM contents GROUP BY event_day, event_id, event, item_id
)
SELECT coalesce(sum(due_lines - due_versions), 0) AS rows_duplicate,
       coalesce(sum(due_versions - CASE WHEN event_first_day IN :due_days THEN 1 ELSE 0 END), 0) AS rows_conflicting
FROM events
