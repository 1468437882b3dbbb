CREATE TABLE gold.item_graph (
  item_a STRING NOT NULL COMMENT 'item that a user clicked, bought or liked first, as in silver.items',
  item_b STRING NOT NULL COMMENT 'item that the same user acted on at most 8 events later',
  weight DOUBLE NOT NULL COMMENT 'sum over such events of 1 / (number of events from the first to the second)',
  day    DATE   NOT NULL COMMENT 'day of the second event. The row counts purchases that were not cancelled until its end'
) USING DELTA PARTITIONED BY (day)
  TBLPROPERTIES ('delta.constraints.near' = 'weight > 0', 'delta.constraints.two_items' = 'item_a <> item_b')
  COMMENT 'Which items follow which in the histories of users, day by day.'
