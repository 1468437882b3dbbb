CREATE TABLE silver.items (
  item_id      STRING NOT NULL COMMENT 'as in the landing files',
  title        STRING          COMMENT 'null: the item came without one',
  description  STRING          COMMENT 'free text',
  category     ARRAY<STRING>   COMMENT 'broad to narrow',
  attributes   STRING          COMMENT 'JSON object, as it came',
  image        STRING          COMMENT 'path of an image file, relative to the folder [encoder] images',
  price        DOUBLE          COMMENT 'in the currency of the log',
  updated_at   TIMESTAMP       COMMENT 'when the shop last changed it, UTC',
  text         STRING NOT NULL COMMENT 'what the encoder reads: title, category, description, attributes; the item id if there is nothing else',
  content_hash STRING NOT NULL COMMENT 'SHA-256 of text, and of image where there is one',
  file         STRING NOT NULL COMMENT 'landing file of this version',
  line         BIGINT NOT NULL COMMENT 'line in that file, from 1',
  day          DATE   NOT NULL COMMENT 'the day this version was due'
) USING DELTA
  COMMENT 'The latest version of every item.'
