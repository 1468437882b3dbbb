CREATE TABLE silver.item_pairs (
  item_a        STRING NOT NULL COMMENT 'the smaller item_id of the two',
  item_b        STRING NOT NULL COMMENT 'the larger item_id of the two',
  source        STRING NOT NULL COMMENT 'how the pair was found: swing or two_tower',
  score         DOUBLE NOT NULL COMMENT 'strength of the pair, higher is closer; comparable within one source and day only. swing: sum over pairs of users. two_tower: sum over actions of the cosine of the two item vectors',
  verdict       STRING          COMMENT 'yes, no or unsure; null: not judged yet',
  reason        STRING          COMMENT 'why the judge decided so',
  judge_version STRING          COMMENT 'judge that decided, with its settings',
  judge_seconds DOUBLE          COMMENT 'seconds that a language model took; null: no language model was asked',
  day           DATE   NOT NULL COMMENT 'last day of the window of events that the pair was found in'
) USING DELTA PARTITIONED BY (day)
  TBLPROPERTIES ('delta.constraints.ordered' = 'item_a < item_b', 'delta.constraints.close' = 'score > 0')
  COMMENT 'Item pairs found in what users did, and the verdict of the judge.'
