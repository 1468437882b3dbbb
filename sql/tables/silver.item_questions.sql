CREATE TABLE silver.item_questions (
  item_id       STRING NOT NULL COMMENT 'as in silver.items',
  content_hash  STRING NOT NULL COMMENT 'of the text and image that the item had; the present questions have the content_hash of silver.items',
  number        INT    NOT NULL COMMENT 'from 1, at most 10; 0: what the asker wrote could not be read, there is neither question nor answer',
  question      STRING NOT NULL COMMENT 'such as: Which brand does the item have?',
  answer        STRING NOT NULL COMMENT 'from the text of the item alone',
  asker_version STRING NOT NULL COMMENT 'templates, or prompt version, language model and mode',
  day           DATE   NOT NULL COMMENT 'the day they were asked'
) USING DELTA PARTITIONED BY (asker_version, day)
  COMMENT 'Questions about each item text and their answers, which the encoder learns to give.'
