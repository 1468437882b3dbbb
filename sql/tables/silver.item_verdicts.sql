CREATE TABLE silver.item_verdicts (
  item_a        STRING NOT NULL COMMENT 'the smaller item_id of the two',
  item_b        STRING NOT NULL COMMENT 'the larger item_id of the two',
  judge_version STRING NOT NULL COMMENT 'judge and settings; for a language model its prompt version, name and mode',
  verdict       STRING NOT NULL COMMENT 'yes, no or unsure (what a language model said could not be read)',
  reason        STRING NOT NULL COMMENT 'why the judge said so',
  judge_seconds DOUBLE          COMMENT 'seconds that a language model took, those of a batch shared evenly; null: none was asked',
  day           DATE   NOT NULL COMMENT 'the day that asked first'
) USING DELTA PARTITIONED BY (judge_version, day)
  COMMENT 'Every verdict that a judge has given, once, saved while it judges: no pair is asked twice.'
