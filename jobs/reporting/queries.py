"""Read from the lake what the report shows besides metrics: releases, runs, rejected lines, codes, encoders, titles.

DuckDB streams each table, so the memory does not grow with the events of a day.
"""

import json
from datetime import date
from pathlib import Path

from jobs.lake import Lake, UserError, arrow_dataset
from jobs.lake.duckdb_connection import open_duckdb
from jobs.reporting.metrics import Row

EXAMPLES_SHOWN = 5
ENCODERS_SHOWN = 10


def query(lake: Lake, table: str, sql: str, *values: object) -> list[Row]:
    """Run DuckDB SQL on one table, which the SQL calls `t`."""
    with open_duckdb() as engine:
        engine.register("t", arrow_dataset(lake.delta(table)))
        rows: list[Row] = engine.sql(sql, params=list(values)).to_arrow_table().to_pylist()
        return rows


def load_release_of_day(lake: Lake, day: date) -> Row | None:
    """The row of gold.releases that the run of `day` wrote: promote or keep. None if it wrote no row."""
    sql = "SELECT * FROM t WHERE day = ? AND kind <> 'rollback' ORDER BY release DESC LIMIT 1"
    return next(iter(query(lake, "gold.releases", sql, day)), None)


def load_last_runs(lake: Lake, day: date) -> dict[str, Row]:
    """The last run of each job for a day, by job, in the order in which they started."""
    sql = "SELECT * FROM t WHERE day = ? AND job NOT IN ('explain', 'query') ORDER BY started_at, run_id"
    last_runs: dict[str, Row] = {}
    for row in query(lake, "ops.runs", sql, day):
        last_runs.pop(row["job"], None)
        last_runs[row["job"]] = row
    return last_runs


def load_rejects(lake: Lake, day: date) -> list[Row]:
    """Why lines due on `day` were rejected: each reason with its first lines, the most frequent reason first."""
    sql = """
        SELECT source, reason, count(*) AS lines,
               arg_min({'file': file, 'line': line, 'raw': left(raw, 400)}, (file, line), $2) AS examples
        FROM t WHERE day = $1 GROUP BY source, reason ORDER BY lines DESC, source, reason"""
    return query(lake, "bronze.rejects", sql, day, EXAMPLES_SHOWN)


def count_items_per_code(lake: Lake, codebook_version: str, day: date) -> list[list[int]]:
    """For each level, the number of items of each used code, the fullest code first."""
    sql = """
        SELECT count(*) AS items FROM t WHERE codebook_version = ? AND day <= ?
        GROUP BY {level} ORDER BY items DESC"""
    return [
        [row["items"] for row in query(lake, "gold.semantic_ids", sql.format(level=level), codebook_version, day)]
        for level in ("c1", "c2", "c3")
    ]


def load_tuned_encoders(lake: Lake, day: date) -> list[Row]:
    """The encoders that were tuned up to this day, the newest first."""
    return query(lake, "gold.encoders", "SELECT * FROM t WHERE day <= ? ORDER BY day DESC LIMIT ?", day, ENCODERS_SHOWN)


def load_titles(lake: Lake, items: set[str]) -> dict[str, str]:
    """The title of each item, or its ID if it has no title."""
    if not items:
        return {}
    rows = query(lake, "silver.items", "SELECT item_id, title FROM t WHERE item_id IN ?", sorted(items))
    return {item: item for item in items} | {row["item_id"]: row["title"] for row in rows if row["title"]}


def load_best_auc(landing: str) -> dict[str, dict[str, float]]:
    """The best AUC that any model could reach, for each day of a simulated log. Empty for other logs.

    landing  the landing folder, or an empty string
    raises   UserError if its _truth.json is damaged
    """
    truth = Path(landing) / "_truth.json"
    if not landing or not truth.is_file():
        return {}
    try:
        return dict(json.loads(truth.read_text()))
    except ValueError as error:
        raise UserError(f"{truth} is not JSON ({error}); simulate the logs again, or remove the file") from None
