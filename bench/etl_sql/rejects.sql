SELECT 'events' AS source, file, line, raw, reason, day FROM raw_events WHERE reason IS NOT NULL
UNION ALL
SELECT 'items' AS source, file, line, raw, reason, day FROM raw_items WHERE reason IS NOT NULL
