CREATE TABLE gold.samples (
  sample_id     STRING NOT NULL COMMENT 'event it comes from, and the number of the negative',
  user_id       STRING NOT NULL COMMENT 'as in silver.events',
  item_id       STRING NOT NULL COMMENT 'the target',
  ts            TIMESTAMP NOT NULL COMMENT 'the moment of the prediction, UTC',
  history_until TIMESTAMP NOT NULL COMMENT 'the history is what the user did strictly before this, UTC',
  request_id    STRING          COMMENT 'samples of one request are ranked against each other',
  position      INT             COMMENT 'place on the page, from 0',
  click         INT             COMMENT 'label: 1 clicked, 0 not, null unknown',
  purchase      INT             COMMENT 'label: 1 bought, 0 not, null unknown',
  `like`        INT             COMMENT 'label: 1 rated at least the threshold, 0 below, null unknown',
  sampled       BOOLEAN NOT NULL COMMENT 'true: a negative that was drawn, not shown',
  day           DATE   NOT NULL COMMENT 'UTC day of ts'
) USING DELTA PARTITIONED BY (day)
  COMMENT 'Training examples.'
