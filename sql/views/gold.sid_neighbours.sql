CREATE OR REPLACE VIEW gold.sid_neighbours
  COMMENT 'The neighbours of each item by shared codes, nearest first: same ID; then same c1 and c2, ordered by the number of bits of c3 that differ; then same c1. The order by bits means something only if the last level has binary digits. Always ask for one item_id.'
AS
WITH shared AS (
  SELECT
    s.item_id,
    o.item_id AS neighbour_id,
    o.title,
    1 + CASE WHEN o.c2 <> s.c2 THEN 0 WHEN o.c3 <> s.c3 THEN 1 ELSE 2 END AS shared_levels,
    CASE WHEN o.c2 = s.c2 THEN bit_count(o.c3 ^ s.c3) END AS other_bits
  FROM gold.items_of_sid AS s
  JOIN gold.items_of_sid AS o ON o.c1 = s.c1 AND o.item_id <> s.item_id
)
SELECT
  *,
  row_number() OVER (PARTITION BY item_id ORDER BY shared_levels DESC, other_bits, neighbour_id) AS rank
FROM shared
