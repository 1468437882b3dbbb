CREATE TABLE gold.item_behaviour (
  item_id           STRING NOT NULL       COMMENT 'as in silver.events',
  behaviour_version STRING NOT NULL       COMMENT 'model that computed the vectors, and how many numbers they have',
  vector            ARRAY<FLOAT> NOT NULL COMMENT 'what the users who clicked, bought or liked the item say about it, scaled to length 1',
  users             BIGINT NOT NULL       COMMENT 'number of these users in the last [quantizer] behaviour_days days',
  since             DATE   NOT NULL       COMMENT 'since when the item has had such a vector every day',
  day               DATE   NOT NULL       COMMENT 'day until which events count'
) USING DELTA PARTITIONED BY (behaviour_version, day)
  TBLPROPERTIES ('delta.constraints.has_users' = 'users > 0', 'delta.constraints.since_before' = 'since <= day')
  COMMENT 'Item vectors from behaviour, for semantic IDs of behaviour ([quantizer] vectors; empty for text). The vectors of all days can be compared. An item on which nobody acted has no row.'
