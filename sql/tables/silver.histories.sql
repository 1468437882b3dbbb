CREATE TABLE silver.histories (
  user_id  STRING    NOT NULL COMMENT 'as in silver.events; its events with an unknown user are not here',
  item_id  STRING    NOT NULL COMMENT 'as in silver.events',
  event    STRING    NOT NULL COMMENT 'click, purchase, cancel or rating',
  ts       TIMESTAMP NOT NULL COMMENT 'time of the event, UTC',
  value    DOUBLE             COMMENT 'as in silver.events',
  seq      BIGINT             COMMENT 'as in silver.events',
  event_id STRING             COMMENT 'as in silver.events; only of purchases and cancels',
  order_id STRING             COMMENT 'as in silver.events',
  day      DATE      NOT NULL COMMENT 'UTC day of ts',
  span     STRING    NOT NULL COMMENT 'day, or month of an old day; the rows of a span are sorted by user'
) USING DELTA PARTITIONED BY (span)
  COMMENT 'What known users did: silver.events without impressions, by user, for jobs that read the whole history of a user.'
