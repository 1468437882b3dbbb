CREATE TABLE silver.item_questions (
  item_id       STRING NOT NULL COMMENT 'as in silver.items',
  content_hash  STRING NOT NULL COMMENT 'hash of the item text and image that were asked about; current questions have the content_hash of silver.items',
  number        INT    NOT NULL COMMENT 'number of the question, 1 to 10; 0: the text that the asker wrote could not be read, question and answer are empty',
  question      STRING NOT NULL COMMENT 'such as: Which brand does the item have?',
  answer        STRING NOT NULL COMMENT 'answer, taken from the text of the item only',
  asker_version STRING NOT NULL COMMENT 'what wrote the questions: templates, or a language model with its prompt version and mode',
  day           DATE   NOT NULL COMMENT 'day on which the questions were asked'
) USING DELTA PARTITIONED BY (asker_version, day)
  COMMENT 'Questions and answers about each item text. The encoder learns to give the answers.'
