CREATE TABLE silver.item_pairs (
  item_a        STRING NOT NULL COMMENT 'the smaller item_id of the two',
  item_b        STRING NOT NULL COMMENT 'the larger item_id of the two',
  source        STRING NOT NULL COMMENT 'swing or two_tower',
  score         DOUBLE NOT NULL COMMENT 'higher is closer, comparable within a source and day only; swing: its sum over pairs of users; two_tower: cosine of the two item vectors, once for every action that chose the pair',
  verdict       STRING          COMMENT 'yes, no or unsure; null: not judged yet',
  reason        STRING          COMMENT 'why the judge said so',
  judge_version STRING          COMMENT 'judge and settings that gave the verdict',
  judge_seconds DOUBLE          COMMENT 'seconds that a language model took for it; null: none was asked',
  day           DATE   NOT NULL COMMENT 'the last day of the window the pair was found in'
) USING DELTA PARTITIONED BY (day)
  TBLPROPERTIES ('delta.constraints.ordered' = 'item_a < item_b', 'delta.constraints.close' = 'score > 0')
  COMMENT 'Item pairs found in behaviour, and what the judge says of them.'
