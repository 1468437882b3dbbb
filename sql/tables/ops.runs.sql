CREATE TABLE ops.runs (
  run_id          STRING    NOT NULL           COMMENT 'one execution of one job',
  job             STRING    NOT NULL           COMMENT 'name of the job, as in python -m jobs.<job>',
  day             DATE      NOT NULL           COMMENT 'day that the job ran for',
  started_at      TIMESTAMP NOT NULL           COMMENT 'start of the process, UTC',
  seconds         DOUBLE    NOT NULL           COMMENT 'seconds from start to end of the process',
  startup_seconds DOUBLE    NOT NULL           COMMENT 'part of seconds: the time before the job itself began, for imports and the start of engines such as Spark',
  inputs          MAP<STRING, BIGINT> NOT NULL COMMENT 'Delta version of each table that was read, by table name',
  outputs         MAP<STRING, BIGINT> NOT NULL COMMENT 'Delta version of each table that was written, by table name',
  settings_hash   STRING    NOT NULL           COMMENT 'hash of all settings; changes when a setting does',
  code_commit     STRING                       COMMENT 'git commit of the code; a + at its end: files were changed since that commit',
  rows_in         BIGINT    NOT NULL           COMMENT 'number of rows read that were due',
  rows_out        BIGINT    NOT NULL           COMMENT 'number of rows written to the main output',
  rows_rejected   BIGINT    NOT NULL           COMMENT 'number of rows rejected, with their reasons in bronze.rejects',
  rows_duplicate  BIGINT    NOT NULL           COMMENT 'number of rows that were already known',
  rows_conflicting BIGINT                      COMMENT 'number of rows that were known with other content: the one that was due first is kept',
  profile         STRING                       COMMENT 'profile of the settings; a job without PROFILE uses the profile of the last ingest'
) USING DELTA PARTITIONED BY (day)
  COMMENT 'One row for each run of a job that succeeded.'
