CREATE OR REPLACE VIEW gold.items_of_sid
  COMMENT 'The items of each semantic ID of the live codebook, with their titles.'
AS
SELECT s.sid, s.unique_sid, s.c1, s.c2, s.c3, s.item_id, i.title, i.category, s.codebook_version, s.day
FROM gold.semantic_ids AS s
LEFT JOIN silver.items AS i ON i.item_id = s.item_id
WHERE s.codebook_version = (SELECT max_by(codebook_version, release) FROM gold.releases)
