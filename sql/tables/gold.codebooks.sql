CREATE TABLE gold.codebooks (
  codebook_version STRING NOT NULL COMMENT 'day of the fit, encoder, sizes and, unless res_kmeans_fsq of binary digits, kind or digits',
  encoder_version  STRING NOT NULL COMMENT 'whose vectors it cuts',
  level            INT    NOT NULL COMMENT '1 to 3; 0: of the whole codebook',
  part             STRING NOT NULL COMMENT 'centroid, rebuilt (what a code adds to a rebuilt vector), the name of a weight, or, once each, kind.<kind of codebook> with the sizes of its levels and rows with how many others there are',
  code             INT    NOT NULL COMMENT 'the code of a centroid, or the row of the weight',
  vector           ARRAY<FLOAT> NOT NULL COMMENT 'the centroid, or the row of the weight',
  day              DATE   NOT NULL COMMENT 'the day of the fit'
) USING DELTA PARTITIONED BY (codebook_version, day)
  COMMENT 'Everything needed to turn a vector into a semantic ID.'
