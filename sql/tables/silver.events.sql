CREATE TABLE silver.events (
  event_id   STRING NOT NULL COMMENT 'unique within its day; a second line with the same id is a duplicate',
  user_id    STRING          COMMENT 'null: unknown visitor',
  item_id    STRING NOT NULL COMMENT 'as in silver.items, which may not know it yet',
  event      STRING NOT NULL COMMENT 'impression, click, purchase, cancel or rating',
  ts         TIMESTAMP NOT NULL COMMENT 'when it happened, UTC',
  value      DOUBLE          COMMENT 'rating, or quantity (negative for returns)',
  price      DOUBLE          COMMENT 'unit price in the currency of the log',
  request_id STRING          COMMENT 'ties a click to the impressions it answers',
  position   INT             COMMENT 'place on the page, from 0',
  order_id   STRING          COMMENT 'the order of a purchase',
  seq        BIGINT          COMMENT 'order within the user where ts is coarse',
  landed_day DATE   NOT NULL COMMENT 'the day the line was due; later than day for a late line',
  day        DATE   NOT NULL COMMENT 'UTC day of ts'
) USING DELTA PARTITIONED BY (day)
  TBLPROPERTIES ('delta.constraints.day_is_ts_day' = 'day <= landed_day')
  COMMENT 'Every clean event, once.'
