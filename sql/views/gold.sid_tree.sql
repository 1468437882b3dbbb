CREATE OR REPLACE VIEW gold.sid_tree
  COMMENT 'The live codebook as a tree: the number of items below each prefix of a semantic ID, and up to five of their titles.'
AS
WITH prefixes AS (
  SELECT explode(array(concat('<a_', c1, '>'), concat('<a_', c1, '><b_', c2, '>'), sid)) AS prefix, item_id, title
  FROM gold.items_of_sid
)
SELECT
  prefix,
  size(split(prefix, '>')) - 1 AS levels,
  count(*) AS items,
  slice(array_sort(collect_set(title)), 1, 5) AS titles
FROM prefixes
GROUP BY prefix
