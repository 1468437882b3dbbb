CREATE TABLE gold.explanations (
  user_id         STRING NOT NULL COMMENT 'as in silver.events',
  item_id         STRING NOT NULL COMMENT 'the item that was scored',
  score           DOUBLE NOT NULL COMMENT 'probability of the main label',
  rank            INT    NOT NULL COMMENT 'from 1: the event that weighs most',
  history_item_id STRING NOT NULL COMMENT 'the item of the event, which the GSU found in the history',
  event           STRING COMMENT 'what the user did with it: click, purchase, like, impression',
  ts              TIMESTAMP NOT NULL COMMENT 'when the event happened, UTC',
  similarity      DOUBLE NOT NULL COMMENT 'to the item that was scored, -1 to 1; 0 where the search compares nothing',
  attention       DOUBLE NOT NULL COMMENT 'what the event weighs in the ESU among all of its list, mean over its heads',
  model_version   STRING NOT NULL COMMENT 'the model that scored',
  day             DATE   NOT NULL COMMENT 'the last day the model had seen'
) USING DELTA PARTITIONED BY (day)
  TBLPROPERTIES ('delta.constraints.rank_from_1' = 'rank >= 1')
  COMMENT 'Why a few users are recommended their first item: the events found, and what each weighs.'
