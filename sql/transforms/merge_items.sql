-- Put the view `latest` into silver.items; items whose only lines are gone from the landing folder leave.
MERGE INTO silver.items AS t USING latest AS s ON t.item_id = s.item_id
WHEN MATCHED AND (t.content_hash <> s.content_hash OR t.file <> s.file OR t.line <> s.line OR t.day <> s.day)
  THEN UPDATE SET *
WHEN NOT MATCHED THEN INSERT *
WHEN NOT MATCHED BY SOURCE AND t.day BETWEEN :since AND :day THEN DELETE
