-- The rules of sql/transforms/parse_items.sql, in their order.
SELECT file, line, raw,
       CASE
         WHEN NOT is_object THEN 'not a JSON object'
         WHEN coalesce(item_id, '') = '' THEN 'item_id is missing'
         WHEN updated_at_given AND updated_at IS NULL THEN 'updated_at is not an ISO 8601 time'
         WHEN CAST(updated_at AS DATE) > coalesce(folder_day, CAST(updated_at AS DATE)) THEN 'updated_at is in the future'
         WHEN price_given AND (price IS NULL OR isnan(price)) THEN 'price is not a number'
       END AS reason,
       item_id, nullif(trim(title), '') AS title, nullif(trim(description), '') AS description, category,
       nullif(attributes, '') AS attributes, nullif(image, '') AS image, price, updated_at,
       coalesce(folder_day, CAST(updated_at AS DATE)) AS due
FROM ($lines)
