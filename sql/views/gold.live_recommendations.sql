CREATE OR REPLACE VIEW gold.live_recommendations
  COMMENT 'The lists of the live release for each user, with item titles.'
AS
WITH live AS (
  SELECT max_by(model_version, release) AS model_version, max_by(generator_uri, release) AS generator_uri
  FROM gold.releases
),
-- After a rollback, the live lists are from the newest day whose run published the same two models.
live_day AS (
  SELECT max(r.day) AS day
  FROM gold.releases AS r
  JOIN live AS l ON r.model_version = l.model_version AND r.generator_uri <=> l.generator_uri
  WHERE r.kind <> 'rollback'
)
SELECT r.user_id, r.rank, r.item_id, i.title, r.score, r.sources, r.model_version, r.day
FROM gold.recommendations AS r
JOIN live AS l ON r.model_version = l.model_version
JOIN live_day AS d ON r.day = d.day
LEFT JOIN silver.items AS i ON i.item_id = r.item_id
