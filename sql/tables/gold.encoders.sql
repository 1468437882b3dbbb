CREATE TABLE gold.encoders (
  encoder_version STRING NOT NULL COMMENT 'its weights are in <LAKE>/models/encoders/<encoder_version>',
  base_version    STRING NOT NULL COMMENT 'the encoder of the settings that it was tuned from',
  pairs           BIGINT NOT NULL COMMENT 'item pairs it was tuned on',
  held_out        BIGINT NOT NULL COMMENT 'item pairs it never saw, by which it was compared',
  hr_at_10        DOUBLE NOT NULL COMMENT 'share of held-out pairs whose other item is among the 10 most similar, pairs that it or the live one was tuned on left out',
  hr_at_10_live   DOUBLE NOT NULL COMMENT 'the same of the encoder that was live before',
  live            BOOLEAN NOT NULL COMMENT 'whether it was better and took its place',
  day             DATE   NOT NULL COMMENT 'the day it was tuned for'
) USING DELTA PARTITIONED BY (day)
  COMMENT 'Every encoder that was tuned, and whether it was better than the one before.'
