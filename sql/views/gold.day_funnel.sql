CREATE OR REPLACE VIEW gold.day_funnel
  COMMENT 'What users did on each day. ctr is clicks per impression, null on a day without impressions.'
AS
SELECT
  day,
  count(DISTINCT user_id) AS users,
  count_if(event = 'impression') AS impressions,
  count_if(event = 'click') AS clicks,
  count_if(event = 'purchase') AS purchases,
  count_if(event = 'cancel') AS cancels,
  count_if(event = 'rating') AS ratings,
  try_divide(count_if(event = 'click'), count_if(event = 'impression')) AS ctr
FROM silver.events
GROUP BY day
