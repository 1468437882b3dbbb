CREATE TABLE gold.metrics (
  job     STRING NOT NULL COMMENT 'job that measured, such as evaluate',
  model   STRING NOT NULL COMMENT 'what was measured, such as champion, challenger, din or codebook',
  slice   STRING NOT NULL COMMENT 'part of the rows that was measured, such as all, cold_items or history_1_9. as_served: all rows, but the model knows nothing of the day itself. In the slices design and refused, the column metric holds a text',
  metric  STRING NOT NULL COMMENT 'name of the metric, such as auc, uauc, gauc, log_loss, calibration or collision_rate',
  value   DOUBLE          COMMENT 'value of the metric; null: not defined, for example because all labels of the slice are of one class',
  ci_low  DOUBLE          COMMENT 'lower end of the 95 % bootstrap interval',
  ci_high DOUBLE          COMMENT 'upper end of the 95 % bootstrap interval',
  rows    BIGINT          COMMENT 'number of rows that were measured',
  version STRING          COMMENT 'model_version or codebook_version that was measured',
  day     DATE   NOT NULL COMMENT 'day of the run'
) USING DELTA PARTITIONED BY (day, job)
  COMMENT 'What each run measured.'
