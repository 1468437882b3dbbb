CREATE TABLE gold.semantic_ids (
  item_id          STRING NOT NULL COMMENT 'as in silver.items',
  codebook_version STRING NOT NULL COMMENT 'codebook that the ID belongs to; within a version the ID of an item never changes',
  c1               INT    NOT NULL COMMENT 'code of level 1, the coarsest',
  c2               INT    NOT NULL COMMENT 'code of level 2',
  c3               INT    NOT NULL COMMENT 'code of level 3, the finest; for res_kmeans_fsq the digits of that level as one number',
  sid              STRING NOT NULL COMMENT 'the three codes as text, such as <a_12><b_7><c_3012>',
  twin             INT    NOT NULL COMMENT 'number that tells items with the same sid apart: from 0, never changes, never used twice',
  unique_sid       STRING NOT NULL COMMENT 'sid and twin, which belong to one item only, such as <a_12><b_7><c_3012><d_0>',
  day              DATE   NOT NULL COMMENT 'day on which the item got its ID'
) USING DELTA PARTITIONED BY (codebook_version, day)
  COMMENT 'The semantic ID of every item. Its codes come from the text, or also from behaviour: the end of codebook_version says so.'
