"""The tree of codes as a page: what lies behind each semantic ID, by example titles. The report links to it."""

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import jinja2

from jobs.lake import Lake, arrow_dataset

SHOWN = {"c1": 60, "c2": 12, "sids": 6, "titles": 3}
TREE = """
WITH named AS (
  SELECT s.c1, s.c2, s.sid, coalesce(i.title, s.item_id) AS title
  FROM ids AS s LEFT JOIN items AS i ON i.item_id = s.item_id
  WHERE s.codebook_version = $version AND s.day <= $day
), leaves AS (
  SELECT c1, c2, sid, count(*) AS items, min(title, $titles) AS titles FROM named GROUP BY ALL
), twigs AS (
  SELECT c1, c2, sum(items)::BIGINT AS items, count(*) AS sids,
         max_by({'sid': sid, 'items': items, 'titles': titles}, (items, sid), $sids) AS leaves
  FROM leaves GROUP BY ALL
)
SELECT c1, sum(items)::BIGINT AS items, count(*) AS c2s, sum(sids)::BIGINT AS sids,
       max_by({'c2': c2, 'items': items, 'sids': sids, 'leaves': leaves}, (items, c2), $c2) AS twigs
FROM twigs GROUP BY c1 ORDER BY items DESC, c1
"""


def explorer(lake: Lake, version: str, day: date) -> str:
    """The page of a codebook version with the items that had an ID by this day."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    branches = _tree(lake, version, day)
    counted = {name: sum(branch[name] for branch in branches) for name in ("items", "sids")}
    shown = branches[: SHOWN["c1"]]
    page = environment.get_template("explorer.html.j2")
    return page.render(day=day, version=version, branches=shown, codes=len(branches), **counted)


def _tree(lake: Lake, version: str, day: date) -> list[dict[str, Any]]:
    """The fullest branches first, each with its fullest twigs and leaves; the tables are streamed."""
    with duckdb.connect() as engine:
        for name, table in (("ids", "gold.semantic_ids"), ("items", "silver.items")):
            engine.register(name, arrow_dataset(lake.delta(table)))
        values = {"version": version, "day": day} | {name: SHOWN[name] for name in ("c2", "sids", "titles")}
        rows: list[dict[str, Any]] = engine.sql(TREE, params=values).to_arrow_table().to_pylist()
        return rows
