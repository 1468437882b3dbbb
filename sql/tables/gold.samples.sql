CREATE TABLE gold.samples (
  sample_id     STRING    NOT NULL COMMENT 'event that the sample was made from; a drawn negative adds # and its number',
  user_id       STRING    NOT NULL COMMENT 'as in silver.events',
  item_id       STRING    NOT NULL COMMENT 'item whose label the model predicts (the candidate)',
  ts            TIMESTAMP NOT NULL COMMENT 'moment of the prediction, UTC',
  history_until TIMESTAMP NOT NULL COMMENT 'end of the history, UTC: the model sees what the user did strictly before it',
  request_id    STRING             COMMENT 'request that the sample belongs to; the samples of a request are ranked against each other',
  position      INT                COMMENT 'place on the page, from 0',
  click         INT                COMMENT 'label: 1 clicked, 0 not clicked, null unknown',
  purchase      INT                COMMENT 'label: 1 bought and not cancelled, 0 not bought, null unknown',
  `like`        INT                COMMENT 'label: 1 rated at least [logs] like_from, 0 rated lower, null unknown',
  clicked_at    TIMESTAMP          COMMENT 'time of the first click that makes the label click 1, UTC; null otherwise',
  bought_at     TIMESTAMP          COMMENT 'time of the first purchase that makes the label purchase 1, UTC; null otherwise',
  sampled       BOOLEAN   NOT NULL COMMENT 'true: a negative that was drawn at random, not shown to the user',
  day           DATE      NOT NULL COMMENT 'UTC day of ts'
) USING DELTA PARTITIONED BY (day)
  TBLPROPERTIES ('delta.dataSkippingStatsColumns' = 'ts')
  COMMENT 'Training and test examples, one for each user, item and moment.'
