-- behaviors.tsv: impression ID, user, time, history, impressions such as "N1-0 N2-1". Each item shown is an impression at
-- its place, and a click if it ends in -1. The history has no times and is not used.
WITH parts AS (
  SELECT line, raw, string_split(raw, chr(9)) AS part FROM lines
), shown AS (
  SELECT line, part, unnest(string_split(trim(part[5]), ' ')) AS entry, generate_subscripts(string_split(trim(part[5]), ' '), 1) - 1 AS position,
         strftime(try_strptime(part[3], '%m/%d/%Y %I:%M:%S %p'), '%Y-%m-%dT%H:%M:%S') AS ts
  FROM parts WHERE len(part) = 5 AND regexp_full_match(trim(part[5]), '\S+-[01]( \S+-[01])*')
), events AS (
  SELECT *, unnest(CASE WHEN entry LIKE '%-1' THEN ['impression', 'click'] ELSE ['impression'] END) AS event FROM shown
)
SELECT line, to_json({
         event_id: concat_ws('-', part[1], position, event), user_id: part[2], item_id: regexp_replace(entry, '-[01]$', ''),
         event: event, ts: coalesce(ts, part[3]), request_id: part[1], position: position})::VARCHAR AS raw, NULL AS problem
FROM events
UNION ALL
SELECT line, raw, CASE WHEN len(part) <> 5 THEN 'not the five columns of behaviors.tsv'
                       ELSE 'not a list of impressions that end in -0 or -1' END
FROM parts WHERE len(part) <> 5 OR NOT regexp_full_match(trim(part[5]), '\S+-[01]( \S+-[01])*')
