-- news.tsv: ID, category, subcategory, title, abstract, address, and entities of title and abstract. Quotes are text.
WITH parts AS (
  SELECT line, raw, string_split(raw, chr(9)) AS part FROM lines
)
SELECT line,
       CASE WHEN len(part) = 8
            THEN to_json({item_id: part[1], title: part[4], description: part[5], category: list_filter([part[2], part[3]], lambda name: name <> '')})::VARCHAR
            ELSE raw END AS raw,
       CASE WHEN len(part) <> 8 THEN 'not the eight columns of news.tsv' END AS problem
FROM parts
