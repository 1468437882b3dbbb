CREATE TABLE gold.explanations (
  user_id         STRING    NOT NULL COMMENT 'as in silver.events',
  item_id         STRING    NOT NULL COMMENT 'item that was scored',
  score           DOUBLE    NOT NULL COMMENT 'predicted probability of the main label, 0 to 1',
  rank            INT       NOT NULL COMMENT 'place of the event by its weight in the score, from 1 (weighs most)',
  history_item_id STRING    NOT NULL COMMENT 'item of the event that the GSU found in the history of the user',
  event           STRING             COMMENT 'what the user did with that item: impression, click, purchase or like',
  ts              TIMESTAMP NOT NULL COMMENT 'time of the event, UTC',
  similarity      DOUBLE    NOT NULL COMMENT 'similarity of the two items, -1 to 1; 0 if the GSU does not compare items',
  attention       DOUBLE    NOT NULL COMMENT 'weight of the event among all events that the GSU found, mean over the attention heads of the ESU',
  model_version   STRING    NOT NULL COMMENT 'model that scored',
  day             DATE      NOT NULL COMMENT 'day of the run; events up to the end of this day count'
) USING DELTA PARTITIONED BY (day)
  TBLPROPERTIES ('delta.constraints.rank_from_1' = 'rank >= 1', 'delta.dataSkippingStatsColumns' = 'rank')
  COMMENT 'Why some users are recommended their first item: the events that the model found, and the weight of each.'
