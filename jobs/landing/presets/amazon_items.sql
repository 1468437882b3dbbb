-- meta_<category>.jsonl: features and description are lists of paragraphs. Some prices are texts such as "from 12.99".
SELECT line, to_json({
         item_id: raw->>'parent_asin', title: raw->>'title',
         category: CASE WHEN json_array_length(raw, '$.categories') > 0 THEN raw->'categories' ELSE to_json([raw->>'main_category']) END,
         description: array_to_string(json_extract_string(raw, '$.features[*]') || json_extract_string(raw, '$.description[*]'), ' '),
         attributes: CASE WHEN raw->>'store' <> '' THEN to_json({store: raw->>'store'}) END,
         price: try_cast(raw->>'price' AS DOUBLE)})::VARCHAR AS raw, NULL AS problem
FROM lines
