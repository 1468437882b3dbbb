CREATE TABLE gold.metrics (
  job      STRING NOT NULL COMMENT 'the job that measured',
  model    STRING NOT NULL COMMENT 'champion, challenger, din, codebook, ...',
  slice    STRING NOT NULL COMMENT 'all, cold_items, history_1_9, ...; design, refused: the metric is words',
  metric   STRING NOT NULL COMMENT 'auc, uauc, gauc, log_loss, calibration, collision_rate, ...',
  value    DOUBLE          COMMENT 'null: not defined on this slice (one class only)',
  ci_low   DOUBLE          COMMENT 'lower end of the 95 % bootstrap interval',
  ci_high  DOUBLE          COMMENT 'upper end of the 95 % bootstrap interval',
  rows     BIGINT          COMMENT 'rows it was measured on',
  version  STRING          COMMENT 'model_version or codebook_version measured',
  day      DATE   NOT NULL COMMENT 'the day of the run'
) USING DELTA PARTITIONED BY (day, job)
  COMMENT 'What each run measured.'
