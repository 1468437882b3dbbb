CREATE OR REPLACE VIEW gold.live_release
  COMMENT 'What is live: model, codebook, encoder, and the Delta versions of thirteen tables.'
AS
SELECT *
FROM gold.releases
WHERE release = (SELECT max(release) FROM gold.releases)
