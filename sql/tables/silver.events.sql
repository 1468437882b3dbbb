CREATE TABLE silver.events (
  event_id   STRING    NOT NULL COMMENT 'unique within its day; a second line with the same ID is a duplicate',
  user_id    STRING             COMMENT 'user who acted; null: unknown visitor',
  item_id    STRING    NOT NULL COMMENT 'as in silver.items, which may not have the item yet',
  event      STRING    NOT NULL COMMENT 'impression, click, purchase, cancel or rating',
  ts         TIMESTAMP NOT NULL COMMENT 'time of the event, UTC',
  value      DOUBLE             COMMENT 'rating, or quantity (of a cancel, with or without a minus sign)',
  price      DOUBLE             COMMENT 'price of one unit, in the currency of the log',
  request_id STRING             COMMENT 'request that showed the item; a click has the request_id of the impression that it answers',
  position   INT                COMMENT 'place on the page, from 0',
  order_id   STRING             COMMENT 'order that a purchase belongs to, or that a cancel takes back',
  seq        BIGINT             COMMENT 'order of the events of a user, for logs whose ts is coarse',
  landed_day DATE      NOT NULL COMMENT 'day on which the line was due; for a late line it is later than day',
  day        DATE      NOT NULL COMMENT 'UTC day of ts'
) USING DELTA PARTITIONED BY (day)
  TBLPROPERTIES ('delta.constraints.day_is_ts_day' = 'day <= landed_day', 'delta.dataSkippingStatsColumns' = 'landed_day')
  COMMENT 'Every valid event, once.'
