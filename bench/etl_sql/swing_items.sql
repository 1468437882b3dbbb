SELECT item_id, CAST(row_number() OVER (ORDER BY item_id) AS INTEGER) AS item
FROM (
  SELECT DISTINCT item_id FROM standing_events
  WHERE day > DATE '$after' AND day <= DATE '$day' AND user_id IS NOT NULL
    AND (event IN ('click', 'purchase') OR (event = 'rating' AND value >= $like_from))
)
