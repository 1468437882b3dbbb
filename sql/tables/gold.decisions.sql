CREATE TABLE gold.decisions (
  kind             STRING NOT NULL              COMMENT 'promote (the challenger goes live), keep (the champion stays) or none (there is nothing to publish yet)',
  model_uri        STRING                       COMMENT 'where the files are of the model that is live after this decision; null: there is none',
  champion_release BIGINT                       COMMENT 'release that was live before this day, with whose model the challenger was compared; null: there was none',
  reason           STRING NOT NULL              COMMENT 'why, in words and numbers',
  tables           MAP<STRING, BIGINT> NOT NULL COMMENT 'Delta versions of the tables that evaluate and recommend read, and of the lists that recommend wrote, by table name',
  run_id           STRING NOT NULL              COMMENT 'run that decided, see ops.runs',
  day              DATE   NOT NULL              COMMENT 'day of the run'
) USING DELTA PARTITIONED BY (day)
  COMMENT 'What evaluate decided about the challenger of each day. recommend and promote follow it.'
