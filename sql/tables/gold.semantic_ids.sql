CREATE TABLE gold.semantic_ids (
  item_id          STRING NOT NULL COMMENT 'as in silver.items',
  codebook_version STRING NOT NULL COMMENT 'gold.codebooks that made it; an ID never moves within a version',
  c1               INT    NOT NULL COMMENT 'coarsest code',
  c2               INT    NOT NULL COMMENT 'second code',
  c3               INT    NOT NULL COMMENT 'finest; of res_kmeans_fsq the digits of the last level as one number',
  sid              STRING NOT NULL COMMENT 'text form: <a_12><b_7><c_3012>',
  twin             INT    NOT NULL COMMENT 'tells the items of one sid apart: counts up from 0, never changes',
  unique_sid       STRING NOT NULL COMMENT 'sid and twin, of one item only: <a_12><b_7><c_3012><d_0>',
  day              DATE   NOT NULL COMMENT 'the day the item got it'
) USING DELTA PARTITIONED BY (codebook_version, day)
  COMMENT 'The semantic ID of every item.'
