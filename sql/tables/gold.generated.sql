CREATE TABLE gold.generated (
  user_id       STRING NOT NULL COMMENT 'as in silver.events: a user who did or saw anything in the last [recommend] active_days days',
  rank          INT    NOT NULL COMMENT 'place in the list of this user and source, from 1',
  item_id       STRING NOT NULL COMMENT 'item that the user did not click, buy or like before',
  score         DOUBLE NOT NULL COMMENT 'higher is better, comparable within one source and day only. graph: sum over paths from the last items of the user. generator: log-probability of the codes of the item (tiger, rpg, language models), the score of the item itself (sasrec), or the sum of both (sidereal). popular: number of events',
  source        STRING NOT NULL COMMENT 'what found the item: graph, generator (trained), or popular if nothing else finds an item for the user',
  model_version STRING NOT NULL COMMENT 'day and settings of the run, and what made the list; of a trained generator the folder below models/',
  day           DATE   NOT NULL COMMENT 'day of the run; events up to the end of this day count'
) USING DELTA PARTITIONED BY (day)
  TBLPROPERTIES ('delta.constraints.rank_from_1' = 'rank >= 1', 'delta.dataSkippingStatsColumns' = 'source')
  COMMENT 'Items that were found ahead of time for every active user. recommend ranks them.'
