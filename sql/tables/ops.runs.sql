CREATE TABLE ops.runs (
  run_id         STRING NOT NULL COMMENT 'one execution of one job',
  job            STRING NOT NULL COMMENT 'module name below jobs',
  day            DATE   NOT NULL COMMENT 'the day it ran for',
  started_at     TIMESTAMP NOT NULL COMMENT 'UTC',
  seconds        DOUBLE NOT NULL COMMENT 'from start to end of the process',
  startup_seconds DOUBLE NOT NULL COMMENT 'of those, before the job itself began: imports and engines',
  inputs         MAP<STRING, BIGINT> NOT NULL COMMENT 'table name to the Delta version read',
  outputs        MAP<STRING, BIGINT> NOT NULL COMMENT 'table name to the Delta version written',
  settings_hash  STRING NOT NULL COMMENT 'of the whole settings tree',
  code_commit    STRING          COMMENT 'git commit of the code, with + if it was changed',
  rows_in        BIGINT NOT NULL COMMENT 'rows read that were due',
  rows_out       BIGINT NOT NULL COMMENT 'rows written to the main output',
  rows_rejected  BIGINT NOT NULL COMMENT 'rows refused, with their reasons in bronze.rejects',
  rows_duplicate BIGINT NOT NULL COMMENT 'rows that were there already',
  profile        STRING          COMMENT 'of the settings; a job that is told none takes that of the newest ingest'
) USING DELTA PARTITIONED BY (day)
  COMMENT 'One row for each run of a job.'
