CREATE TABLE gold.item_embeddings (
  item_id         STRING NOT NULL       COMMENT 'as in silver.items',
  encoder_version STRING NOT NULL       COMMENT 'encoder (model and weights) that computed the vector',
  content_hash    STRING NOT NULL       COMMENT 'hash of the text and image that were embedded, as in silver.items at that time',
  vector          ARRAY<FLOAT> NOT NULL COMMENT 'embedding of the item, scaled to length 1',
  day             DATE   NOT NULL       COMMENT 'day on which the item was embedded'
) USING DELTA PARTITIONED BY (encoder_version, day)
  COMMENT 'The vector of every item text. The current vector of an item is the row with the content_hash of silver.items.'
