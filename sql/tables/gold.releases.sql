CREATE TABLE gold.releases (
  release          BIGINT NOT NULL              COMMENT 'number of the release, from 1; the highest is live',
  kind             STRING NOT NULL              COMMENT 'promote (a new champion), keep (the champion stays) or rollback (an earlier champion returns)',
  model_version    STRING NOT NULL              COMMENT 'champion from this release on',
  model_uri        STRING NOT NULL              COMMENT 'where the files of the model are',
  codebook_version STRING NOT NULL              COMMENT 'codebook whose semantic IDs the model reads',
  encoder_version  STRING NOT NULL              COMMENT 'encoder whose vectors the codebook was fitted on',
  generator_uri    STRING                       COMMENT 'where the files are of the trained generator whose lists gold.generated holds; null: the item graph alone made lists',
  tables           MAP<STRING, BIGINT> NOT NULL COMMENT 'Delta version of thirteen tables of silver and gold, by table name; several tables read at these versions agree',
  reason           STRING NOT NULL              COMMENT 'why the release was made, in words and numbers',
  run_id           STRING NOT NULL              COMMENT 'run that wrote the release, see ops.runs',
  day              DATE   NOT NULL              COMMENT 'day of the run'
) USING DELTA
  COMMENT 'What has been live, and since when. A run writes this table last.'
