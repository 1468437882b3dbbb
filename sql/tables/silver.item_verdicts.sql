CREATE TABLE silver.item_verdicts (
  item_a        STRING NOT NULL COMMENT 'the smaller item_id of the two',
  item_b        STRING NOT NULL COMMENT 'the larger item_id of the two',
  judge_version STRING NOT NULL COMMENT 'judge with its settings; for a language model with its prompt version, name and mode',
  verdict       STRING NOT NULL COMMENT 'yes, no or unsure (also if the answer of a language model could not be read)',
  reason        STRING NOT NULL COMMENT 'why the judge decided so',
  judge_seconds DOUBLE          COMMENT 'seconds that a language model took, as an equal share of its batch; null: no language model was asked',
  day           DATE   NOT NULL COMMENT 'day on which the pair was judged first'
) USING DELTA PARTITIONED BY (judge_version, day)
  COMMENT 'Every verdict, once. Verdicts are saved while the judge works, so that no pair is asked about twice.'
