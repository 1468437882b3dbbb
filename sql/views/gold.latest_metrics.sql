CREATE OR REPLACE VIEW gold.latest_metrics
  COMMENT 'What each job measured on the last day on which it measured anything.'
AS
SELECT m.*
FROM gold.metrics AS m
JOIN (SELECT job, max(day) AS day FROM gold.metrics GROUP BY job) AS newest
  ON newest.job = m.job AND newest.day = m.day
