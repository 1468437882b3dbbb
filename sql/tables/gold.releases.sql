CREATE TABLE gold.releases (
  release          BIGINT NOT NULL COMMENT 'from 1; the highest is live',
  kind             STRING NOT NULL COMMENT 'promote, keep (the champion stays) or rollback',
  model_version    STRING NOT NULL COMMENT 'the champion from now on',
  model_uri        STRING NOT NULL COMMENT 'where its files are',
  codebook_version STRING NOT NULL COMMENT 'the codebook it reads',
  encoder_version  STRING NOT NULL COMMENT 'the encoder behind the codebook',
  tables           MAP<STRING, BIGINT> NOT NULL COMMENT 'table name to Delta version: read several tables at these to see one state',
  reason           STRING NOT NULL COMMENT 'why, in words and numbers',
  run_id           STRING NOT NULL COMMENT 'ops.runs row that wrote it',
  day              DATE   NOT NULL COMMENT 'the day of the run'
) USING DELTA
  COMMENT 'What is live since when. Written last.'
