-- An event of GA4 has a list of items, and no ID of its own. "(not set)" means that a text is missing.
WITH events AS (
  SELECT *, raw->>'event_name' AS name, json_extract(raw, '$.items[*]') AS items,
         md5(concat_ws('|', raw->>'user_pseudo_id', raw->>'event_timestamp', raw->>'event_name', raw->>'event_bundle_sequence_id',
                       raw->>'batch_page_id', raw->>'batch_ordering_id', raw->>'batch_event_index', raw->>'$.event_params')) AS id
  FROM lines
), listed AS (
  SELECT *, unnest(items) AS item, generate_subscripts(items, 1) - 1 AS nth FROM events
)
SELECT line, to_json({
         event_id: concat_ws('-', id, nth), user_id: raw->>'user_pseudo_id', item_id: nullif(item->>'item_id', '(not set)'), event: name,
         ts: raw->>'event_timestamp',
         value: CASE WHEN name IN ('purchase', 'refund') THEN item->>'quantity' END,
         price: item->>'price',
         request_id: CASE WHEN name = 'view_item_list' THEN id END,
         position: CASE WHEN name = 'view_item_list' THEN coalesce(try_cast(item->>'item_list_index' AS INTEGER), nth) END,
         order_id: nullif(raw->>'$.ecommerce.transaction_id', '(not set)')})::VARCHAR AS raw,
       NULL AS problem
FROM listed
UNION ALL
SELECT line, raw, 'a purchase or refund without items' FROM events WHERE name IN ('purchase', 'refund') AND len(items) = 0
