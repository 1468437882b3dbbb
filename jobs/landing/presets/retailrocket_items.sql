-- item_properties: one property of an item per line. Only the category is readable, the other values are hashed: lines
-- with other properties are ignored.
SELECT line, to_json({itemid: raw->>'itemid', timestamp: raw->>'timestamp', category: [raw->>'value']})::VARCHAR AS raw, NULL AS problem
FROM lines WHERE raw->>'property' = 'categoryid'
