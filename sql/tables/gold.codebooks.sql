CREATE TABLE gold.codebooks (
  codebook_version STRING NOT NULL       COMMENT 'name of the codebook: day of the fit, encoder and level sizes; then the kind, unless it is res_kmeans_fsq; then the digits of the last level, unless they are binary; then the vectors (behaviour or text_behaviour), unless they are of text alone',
  encoder_version  STRING NOT NULL       COMMENT 'encoder of the text vectors that the codebook was fitted on; in a codebook of behaviour they predict the behaviour of items on which nobody acted',
  level            INT    NOT NULL       COMMENT 'level of the semantic ID, 1 to 3; 0: the row describes the whole codebook',
  part             STRING NOT NULL       COMMENT 'what the row holds: centroid; rebuilt (what a code adds to a rebuilt vector); or the name of a network weight. Two more rows describe the whole codebook: in the part kind.<name>, the vector holds the level sizes; in the part rows, the code holds the number of the other rows',
  code             INT    NOT NULL       COMMENT 'code of the centroid, or row number of the weight',
  vector           ARRAY<FLOAT> NOT NULL COMMENT 'the centroid, or the row of the weight',
  day              DATE   NOT NULL       COMMENT 'day of the fit'
) USING DELTA PARTITIONED BY (codebook_version, day)
  COMMENT 'Everything needed to turn a vector into a semantic ID.'
