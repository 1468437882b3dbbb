CREATE TABLE silver.item_ids (
  item_id STRING NOT NULL COMMENT 'ID of an item that silver.events names or has named, also if silver.items does not have it'
) USING DELTA
  COMMENT 'The items of all events, so that no job reads all events to know them.'
