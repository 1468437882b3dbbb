-- An enriched event: column 4 is collector_tstamp, 7 event_id, 13 user_id, 16 domain_userid, 18 network_userid, 53 contexts (a
-- JSON list of entities), 59 unstruct_event (JSON: the action), 125 derived_tstamp. Times are in UTC.
WITH parts AS (
  SELECT line, raw, string_split(raw, chr(9)) AS part FROM lines
), events AS (
  SELECT *, CASE WHEN json_valid(part[53]) THEN json_extract(part[53], '$.data[*]') ELSE [] END AS entities,
         CASE WHEN json_valid(part[59]) AND part[59] LIKE '%/snowplow_ecommerce_action/%' THEN part[59]->>'$.data.data.type' END AS name
  FROM parts WHERE len(part) >= 125
), actions AS (
  SELECT *, list_filter(entities, lambda entity: entity->>'schema' LIKE 'iglu:com.snowplowanalytics.snowplow.ecommerce/product/%') AS products,
         list_filter(entities, lambda entity: regexp_matches(entity->>'schema', 'snowplow.ecommerce/(transaction|refund)/'))[1]->>'$.data.transaction_id' AS order_id
  FROM events WHERE name IS NOT NULL
), listed AS (
  SELECT *, unnest(products)->'data' AS product, generate_subscripts(products, 1) - 1 AS nth FROM actions
)
SELECT line, to_json({
         event_id: concat_ws('-', part[7], nth), user_id: coalesce(nullif(part[13], ''), nullif(part[16], ''), nullif(part[18], '')),
         item_id: product->>'id', event: name,
         ts: CASE WHEN part[125] <> '' THEN part[125] ELSE part[4] END || 'Z',
         value: CASE WHEN name IN ('transaction', 'refund') THEN product->>'quantity' END,
         price: product->>'price',
         request_id: CASE WHEN name = 'list_view' THEN part[7] END,
         position: CASE WHEN name = 'list_view' THEN nth END,
         order_id: order_id})::VARCHAR AS raw,
       NULL AS problem
FROM listed
UNION ALL
SELECT line, to_json({event_id: part[7], event: 'ignore', ts: CASE WHEN part[125] <> '' THEN part[125] ELSE part[4] END || 'Z'})::VARCHAR, NULL
FROM events WHERE line NOT IN (SELECT line FROM actions WHERE len(products) > 0 OR name IN ('transaction', 'refund'))
UNION ALL
SELECT line, raw, 'a transaction or refund without products' FROM actions WHERE name IN ('transaction', 'refund') AND len(products) = 0
UNION ALL
SELECT line, raw, 'not the 131 columns of an enriched event' FROM parts WHERE len(part) < 125
