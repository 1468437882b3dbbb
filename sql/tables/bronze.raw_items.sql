CREATE TABLE bronze.raw_items (
  file        STRING    NOT NULL COMMENT 'landing file, as a path inside the landing folder',
  line        BIGINT    NOT NULL COMMENT 'line number in the file (row number in a Parquet file), from 1',
  raw         STRING    NOT NULL COMMENT 'the line, unchanged; a CSV or Parquet row, and a row that a preset makes of a line, as JSON',
  reason      STRING             COMMENT 'why the line was rejected, or that it is ignored; null: the line is good',
  item_id     STRING             COMMENT 'field of silver.items; null if the line does not have it',
  title       STRING             COMMENT 'field of silver.items; null if the line does not have it',
  description STRING             COMMENT 'field of silver.items; null if the line does not have it',
  category    ARRAY<STRING>      COMMENT 'field of silver.items; null if the line does not have it',
  attributes  STRING             COMMENT 'field of silver.items; null if the line does not have it',
  image       STRING             COMMENT 'field of silver.items; null if the line does not have it',
  price       DOUBLE             COMMENT 'field of silver.items; null if it is missing or cannot be read',
  updated_at  TIMESTAMP          COMMENT 'field of silver.items, UTC; null if it is missing or cannot be read',
  run_id      STRING    NOT NULL COMMENT 'run that read the line, see ops.runs',
  day         DATE      NOT NULL COMMENT 'day on which the line was due: the day of its folder, or the UTC day of updated_at for a file outside the day folders, but not before the first event day'
) USING DELTA PARTITIONED BY (day)
  TBLPROPERTIES ('delta.dataSkippingStatsColumns' = 'file')
  COMMENT 'Every line of the landed item files, good or bad, once.'
