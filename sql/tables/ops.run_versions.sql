CREATE TABLE ops.run_versions (
  dag_run     STRING    NOT NULL           COMMENT 'ID of the DAG run',
  run_id      STRING    NOT NULL           COMMENT 'task that recorded the versions, see ops.runs: the first one of the run, or one that adds to a table of all runs',
  versions    MAP<STRING, BIGINT> NOT NULL COMMENT 'Delta version that this run and its later tasks read of each table, by table name',
  recorded_at TIMESTAMP NOT NULL           COMMENT 'when the versions were recorded, UTC',
  day         DATE      NOT NULL           COMMENT 'day that the run processes'
) USING DELTA PARTITIONED BY (day)
  COMMENT 'The versions that each DAG run began with. If a run wrote a table since, its tasks read its own newest version.';
