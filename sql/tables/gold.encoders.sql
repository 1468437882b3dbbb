CREATE TABLE gold.encoders (
  encoder_version STRING  NOT NULL COMMENT 'name of the tuned encoder; its weights are in <LAKE>/models/encoders/<encoder_version>',
  base_version    STRING  NOT NULL COMMENT 'untuned encoder, from the settings, with which the tuning started',
  pairs           BIGINT  NOT NULL COMMENT 'number of item pairs that it was tuned on',
  held_out        BIGINT  NOT NULL COMMENT 'number of item pairs kept out of tuning, to compare the two encoders on',
  hr_at_10        DOUBLE  NOT NULL COMMENT 'hit rate at 10: share of held-out pairs whose other item is among the 10 most similar items, not counting pairs that either encoder was tuned on',
  hr_at_10_live   DOUBLE  NOT NULL COMMENT 'the same share for the encoder that was live before',
  live            BOOLEAN NOT NULL COMMENT 'true: it was better, and replaced the encoder that was live before',
  day             DATE    NOT NULL COMMENT 'day of the tuning'
) USING DELTA PARTITIONED BY (day)
  COMMENT 'Every tuned encoder, and whether it was better than the one before.'
