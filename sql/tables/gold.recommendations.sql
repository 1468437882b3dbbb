CREATE TABLE gold.recommendations (
  user_id       STRING NOT NULL COMMENT 'as in silver.events',
  rank          INT    NOT NULL COMMENT 'from 1',
  item_id       STRING NOT NULL COMMENT 'as in silver.items',
  score         DOUBLE NOT NULL COMMENT 'probability of the main label, as the model gives it',
  model_version STRING NOT NULL COMMENT 'the model that ranked',
  day           DATE   NOT NULL COMMENT 'the last day the model had seen'
) USING DELTA PARTITIONED BY (day)
  TBLPROPERTIES ('delta.constraints.rank_from_1' = 'rank >= 1')
  COMMENT 'The first K items of every active user.'
