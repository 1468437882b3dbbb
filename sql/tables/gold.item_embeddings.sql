CREATE TABLE gold.item_embeddings (
  item_id         STRING NOT NULL COMMENT 'as in silver.items',
  encoder_version STRING NOT NULL COMMENT 'encoder and weights that made it',
  content_hash    STRING NOT NULL COMMENT 'of the text and image that were embedded',
  vector          ARRAY<FLOAT> NOT NULL COMMENT 'unit length',
  day             DATE   NOT NULL COMMENT 'the day it was embedded for'
) USING DELTA PARTITIONED BY (encoder_version, day)
  COMMENT 'The vector of every item text; an item\'s present one has the content_hash of silver.items.'
