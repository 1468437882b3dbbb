"""Build the page that shows the codes as a tree, with titles of the items behind each semantic ID."""

from datetime import date

from jobs.lake import Lake, arrow_dataset
from jobs.lake.duckdb_connection import open_duckdb
from jobs.reporting.metrics import Row
from jobs.reporting.templates import render

FIRST_CODES_SHOWN = 60
SHOWN_PER_PARENT = {"second_codes": 12, "sids": 6, "titles": 3}
TREE = """
WITH titled AS (
  SELECT s.c1, s.c2, s.sid, coalesce(i.title, s.item_id) AS title
  FROM semantic_ids AS s LEFT JOIN items AS i ON i.item_id = s.item_id
  WHERE s.codebook_version = $version AND s.day <= $day
), by_sid AS (
  SELECT c1, c2, sid, count(*) AS item_count, min(title, $titles) AS titles FROM titled GROUP BY ALL
), by_c2 AS (
  SELECT c1, c2, sum(item_count)::BIGINT AS item_count, count(*) AS sid_count,
         max_by({'sid': sid, 'item_count': item_count, 'titles': titles}, (item_count, sid), $sids) AS sids
  FROM by_sid GROUP BY ALL
)
SELECT c1, sum(item_count)::BIGINT AS item_count, count(*) AS c2_count, sum(sid_count)::BIGINT AS sid_count,
       max_by({'c2': c2, 'item_count': item_count, 'sid_count': sid_count, 'sids': sids}, (item_count, c2),
              $second_codes) AS second_codes
FROM by_c2 GROUP BY c1 ORDER BY item_count DESC, c1
"""


def build_code_tree(lake: Lake, codebook_version: str, day: date) -> str:
    """Build the page of a codebook, with the items that had a semantic ID by this day."""
    first_codes = _load_tree(lake, codebook_version, day)
    return render(
        "code_tree.html.j2",
        day=day,
        codebook_version=codebook_version,
        first_codes=first_codes[:FIRST_CODES_SHOWN],
        c1_count=len(first_codes),
        item_count=sum(code["item_count"] for code in first_codes),
        sid_count=sum(code["sid_count"] for code in first_codes),
    )


def _load_tree(lake: Lake, codebook_version: str, day: date) -> list[Row]:
    """A row for each first code, the fullest first, with its fullest second codes and IDs."""
    with open_duckdb() as engine:  # it streams the tables
        for name, table in (("semantic_ids", "gold.semantic_ids"), ("items", "silver.items")):
            engine.register(name, arrow_dataset(lake.delta(table)))
        values = {"version": codebook_version, "day": day, **SHOWN_PER_PARENT}
        rows: list[Row] = engine.sql(TREE, params=values).to_arrow_table().to_pylist()
        return rows
