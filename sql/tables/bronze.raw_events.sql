CREATE TABLE bronze.raw_events (
  file       STRING    NOT NULL COMMENT 'landing file, as a path inside the landing folder',
  line       BIGINT    NOT NULL COMMENT 'line number in the file (row number in a Parquet file), from 1',
  raw        STRING    NOT NULL COMMENT 'the line, unchanged; a CSV or Parquet row, and a row that a preset makes of a line, as JSON',
  reason     STRING             COMMENT 'why the line was rejected, or that it is ignored; null: the line is good',
  event_id   STRING             COMMENT 'field of silver.events; null if the line does not have it',
  user_id    STRING             COMMENT 'field of silver.events; null if the line does not have it',
  item_id    STRING             COMMENT 'field of silver.events; null if the line does not have it',
  event      STRING             COMMENT 'field of silver.events, in lower case; null if the line does not have it',
  ts         TIMESTAMP          COMMENT 'field of silver.events, UTC; null if it is missing or cannot be read',
  value      DOUBLE             COMMENT 'field of silver.events; null if it is missing or cannot be read',
  price      DOUBLE             COMMENT 'field of silver.events; null if it is missing or cannot be read',
  request_id STRING             COMMENT 'field of silver.events; null if the line does not have it',
  position   INT                COMMENT 'field of silver.events; null if it is missing or cannot be read',
  order_id   STRING             COMMENT 'field of silver.events; null if the line does not have it',
  seq        BIGINT             COMMENT 'field of silver.events; null if it is missing or cannot be read',
  event_day  DATE               COMMENT 'UTC day of ts; null if ts cannot be read',
  run_id     STRING    NOT NULL COMMENT 'run that read the line, see ops.runs',
  day        DATE      NOT NULL COMMENT 'day on which the line was due: the day of its folder, or the UTC day of ts for a file outside the day folders'
) USING DELTA PARTITIONED BY (day)
  TBLPROPERTIES ('delta.dataSkippingStatsColumns' = 'file,event_day')
  COMMENT 'Every line of the landed event files, good or bad, once.'
