CREATE TABLE gold.recommendations (
  user_id       STRING NOT NULL COMMENT 'as in silver.events',
  rank          INT    NOT NULL COMMENT 'place in the list of the user, from 1',
  item_id       STRING NOT NULL COMMENT 'as in silver.items',
  score         DOUBLE NOT NULL COMMENT 'predicted probability of the main label, 0 to 1',
  sources       ARRAY<STRING>   COMMENT 'sources that found the item: pairs, neighbours, graph, generator, popular; null in rows of older versions',
  model_version STRING NOT NULL COMMENT 'model that ranked the items',
  day           DATE   NOT NULL COMMENT 'day of the run; events up to the end of this day count'
) USING DELTA PARTITIONED BY (day)
  TBLPROPERTIES ('delta.constraints.rank_from_1' = 'rank >= 1', 'delta.dataSkippingStatsColumns' = 'rank')
  COMMENT 'The first K items for every active user.'
