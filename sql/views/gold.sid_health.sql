CREATE OR REPLACE VIEW gold.sid_health
  COMMENT 'Health of the semantic IDs on each day: collisions, hit rates of looking items up by their own ID, share of neighbours kept, error of rebuilt vectors.'
AS SELECT
  day,
  version AS codebook_version,
  max(rows) AS items,
  max(value) FILTER (WHERE metric = 'collision_rate') AS collision_rate,
  max(value) FILTER (WHERE metric = 'unique_share') AS unique_share,
  max(value) FILTER (WHERE metric = 'largest_bucket') AS largest_bucket,
  max(value) FILTER (WHERE metric = 'edge_num') AS edge_num,
  max(value) FILTER (WHERE metric = 'hr_at_1') AS hr_at_1,
  max(value) FILTER (WHERE metric = 'hr_at_10') AS hr_at_10,
  max(value) FILTER (WHERE metric = 'preserved_neighbours_c1') AS preserved_neighbours_c1,
  max(value) FILTER (WHERE metric = 'preserved_neighbours_c1c2') AS preserved_neighbours_c1c2,
  max(value) FILTER (WHERE metric = 'rebuild_error') AS rebuild_error
FROM gold.metrics
WHERE job = 'quantize' AND model = 'codebook' AND slice = 'all'
GROUP BY day, version
