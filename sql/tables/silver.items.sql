CREATE TABLE silver.items (
  item_id      STRING    NOT NULL COMMENT 'as in the landing files',
  title        STRING             COMMENT 'title; null: the item has none',
  description  STRING             COMMENT 'free text',
  category     ARRAY<STRING>      COMMENT 'categories, from broad to narrow',
  attributes   STRING             COMMENT 'JSON object, unchanged',
  image        STRING             COMMENT 'path of an image file inside the folder [encoder] images',
  price        DOUBLE             COMMENT 'price in the currency of the log',
  updated_at   TIMESTAMP          COMMENT 'when the shop last changed the item, UTC',
  text         STRING    NOT NULL COMMENT 'what the encoder reads: title, category, description and attributes; the item_id if all of them are missing',
  content_hash STRING    NOT NULL COMMENT 'SHA-256 of the text, and of the image path if there is one',
  file         STRING    NOT NULL COMMENT 'landing file of this version of the item',
  line         BIGINT    NOT NULL COMMENT 'line number in that file, from 1',
  day          DATE      NOT NULL COMMENT 'day on which this version was due'
) USING DELTA
  COMMENT 'The latest version of every item.'
