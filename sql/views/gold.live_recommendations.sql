CREATE OR REPLACE VIEW gold.live_recommendations
  COMMENT 'The newest recommendations of the live model for each user, with item titles.'
AS
WITH of_live_model AS (
  SELECT *
  FROM gold.recommendations
  WHERE model_version = (SELECT max_by(model_version, release) FROM gold.releases)
)
SELECT r.user_id, r.rank, r.item_id, i.title, r.score, r.model_version, r.day
FROM of_live_model AS r
LEFT JOIN silver.items AS i ON i.item_id = r.item_id
WHERE r.day = (SELECT max(day) FROM of_live_model)
