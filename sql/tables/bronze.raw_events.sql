CREATE TABLE bronze.raw_events (
  file      STRING NOT NULL COMMENT 'landing file, relative to the landing folder',
  line      BIGINT NOT NULL COMMENT 'line (or Parquet row) in the file, from 1',
  raw       STRING NOT NULL COMMENT 'the line as it came; CSV and Parquet rows as JSON',
  reason    STRING          COMMENT 'why the line is refused; null if it is good',
  event_id   STRING         COMMENT 'the fields of silver.events, as far as they can be read',
  user_id    STRING,
  item_id    STRING,
  event      STRING,
  ts         TIMESTAMP      COMMENT 'UTC',
  value      DOUBLE,
  price      DOUBLE,
  request_id STRING,
  position   INT,
  order_id   STRING,
  seq        BIGINT,
  event_day DATE            COMMENT 'UTC day of ts; null if ts cannot be read',
  run_id    STRING NOT NULL COMMENT 'ops.runs row that landed it',
  day       DATE   NOT NULL COMMENT 'the day the line was due: its day folder, or its own date in a file that is not in one'
) USING DELTA PARTITIONED BY (day)
  COMMENT 'Every landed event line, good or bad, read once.'
