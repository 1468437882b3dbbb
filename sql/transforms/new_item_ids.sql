-- The items that good lines of the days :days name and silver.item_ids does not have. In SQL of Spark and DuckDB.
SELECT DISTINCT item_id FROM bronze.raw_events LEFT ANTI JOIN silver.item_ids USING (item_id)
WHERE event_day IN :days AND day >= :first_day AND reason IS NULL -- no line is due before its event
