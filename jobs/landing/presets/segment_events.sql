-- A call of Segment (version 2 of its e-commerce events) has one product in its properties, or a list of products.
WITH calls AS (
  SELECT *, raw->>'event' AS name, raw->>'messageId' AS id, json_extract(raw, '$.properties.products[*]') AS products,
         raw->'properties' AS properties
  FROM lines WHERE raw->>'type' = 'track'
), listed AS (
  SELECT *, unnest(products) AS product, generate_subscripts(products, 1) - 1 AS nth FROM calls
  UNION ALL
  SELECT *, properties AS product, NULL AS nth FROM calls
  WHERE len(products) = 0 AND coalesce(properties->>'product_id', properties->>'sku', '') <> ''
)
SELECT line, to_json({
         event_id: concat_ws('-', id, nth), user_id: coalesce(nullif(raw->>'userId', ''), raw->>'anonymousId'),
         item_id: coalesce(product->>'product_id', product->>'sku'), event: name,
         "timestamp": coalesce(raw->>'timestamp', raw->>'originalTimestamp', raw->>'receivedAt'),
         value: CASE WHEN name LIKE 'Order %' THEN product->>'quantity' END,
         price: product->>'price',
         request_id: CASE WHEN name = 'Product List Viewed' THEN id END,
         position: CASE WHEN name = 'Product List Viewed' THEN nth END,
         order_id: properties->>'order_id'})::VARCHAR AS raw,
       NULL AS problem
FROM listed
UNION ALL
SELECT line, raw, 'an order without products' FROM calls
WHERE name IN ('Order Completed', 'Order Refunded', 'Order Cancelled') AND len(products) = 0
  AND coalesce(properties->>'product_id', properties->>'sku', '') = ''
