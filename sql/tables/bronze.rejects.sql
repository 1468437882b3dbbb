CREATE TABLE bronze.rejects (
  source STRING NOT NULL COMMENT 'events or items',
  file   STRING NOT NULL COMMENT 'landing file, as a path inside the landing folder',
  line   BIGINT NOT NULL COMMENT 'line number in the file (row number in a Parquet file), from 1',
  raw    STRING NOT NULL COMMENT 'the line, unchanged; a CSV or Parquet row, and a row that a preset makes of a line, as JSON',
  reason STRING NOT NULL COMMENT 'why the line was rejected, in words; begins with "ignored" if nothing is wrong with it',
  run_id STRING NOT NULL COMMENT 'run that rejected the line, see ops.runs',
  day    DATE   NOT NULL COMMENT 'day on which the line was due, as in bronze.raw_events and bronze.raw_items'
) USING DELTA PARTITIONED BY (day)
  TBLPROPERTIES ('delta.dataSkippingStatsColumns' = 'file')
  COMMENT 'Every rejected line with its reason. No line is dropped silently.'
