CREATE TABLE bronze.raw_items (
  file      STRING NOT NULL COMMENT 'landing file, relative to the landing folder',
  line      BIGINT NOT NULL COMMENT 'line (or Parquet row) in the file, from 1',
  raw       STRING NOT NULL COMMENT 'the line as it came; CSV and Parquet rows as JSON',
  reason    STRING          COMMENT 'why the line is refused; null if it is good',
  item_id     STRING        COMMENT 'the fields of silver.items, as far as they can be read',
  title       STRING,
  description STRING,
  category    ARRAY<STRING>,
  attributes  STRING,
  image       STRING,
  price       DOUBLE,
  updated_at  TIMESTAMP     COMMENT 'UTC',
  run_id    STRING NOT NULL COMMENT 'ops.runs row that landed it',
  day       DATE   NOT NULL COMMENT 'the day the line was due: its day folder, or the day of updated_at in a file that is not in one'
) USING DELTA PARTITIONED BY (day)
  COMMENT 'Every landed item line, good or bad, read once.'
