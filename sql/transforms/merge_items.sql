-- Merge the view `latest` (latest_items.sql) into silver.items. Items that no longer have any line are deleted.
MERGE INTO silver.items AS t USING latest AS s ON t.item_id = s.item_id
WHEN MATCHED AND NOT (
  t.content_hash = s.content_hash AND t.file = s.file AND t.line = s.line AND t.day = s.day AND t.price <=> s.price
  AND t.updated_at <=> s.updated_at AND t.title <=> s.title AND t.description <=> s.description
  AND t.category <=> s.category AND t.attributes <=> s.attributes AND t.image <=> s.image)
  THEN UPDATE SET *
WHEN NOT MATCHED THEN INSERT *
WHEN NOT MATCHED BY SOURCE AND t.day BETWEEN :since AND :day THEN DELETE
