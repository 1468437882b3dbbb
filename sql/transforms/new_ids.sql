-- A day's semantic IDs of a codebook version: the IDs that the day has already, and IDs for the view `new_codes`
-- (item_id, c1, c2, c3). The twin counts up among items with the same codes, and no twin is used twice.
WITH next_twins AS (
  SELECT c1, c2, c3, max(twin) + 1 AS twin FROM gold.semantic_ids WHERE codebook_version = :version GROUP BY c1, c2, c3
), new_ids AS (
  SELECT
    n.*,
    concat('<a_', n.c1, '><b_', n.c2, '><c_', n.c3, '>') AS sid,
    CAST(coalesce(f.twin, 0) - 1 + row_number() OVER (PARTITION BY n.c1, n.c2, n.c3 ORDER BY n.item_id) AS INT) AS twin
  FROM new_codes AS n
  LEFT JOIN next_twins AS f ON f.c1 = n.c1 AND f.c2 = n.c2 AND f.c3 = n.c3
)
SELECT
  item_id, :version AS codebook_version, c1, c2, c3, sid, twin, concat(sid, '<d_', twin, '>') AS unique_sid,
  CAST(:day AS DATE) AS day
FROM new_ids
UNION ALL
SELECT item_id, codebook_version, c1, c2, c3, sid, twin, unique_sid, day
FROM gold.semantic_ids
WHERE codebook_version = :version AND day = :day
