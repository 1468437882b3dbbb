CREATE TABLE bronze.rejects (
  source    STRING NOT NULL COMMENT 'events or items',
  file      STRING NOT NULL COMMENT 'landing file, relative to the landing folder',
  line      BIGINT NOT NULL COMMENT 'line (or Parquet row) in the file, from 1',
  raw       STRING NOT NULL COMMENT 'the line as it came',
  reason    STRING NOT NULL COMMENT 'why it was refused, in words',
  run_id    STRING NOT NULL COMMENT 'ops.runs row that refused it',
  day       DATE   NOT NULL COMMENT 'the day the line was due'
) USING DELTA PARTITIONED BY (day)
  COMMENT 'Every refused line with its reason: nothing is silently dropped.'
