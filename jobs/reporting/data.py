"""What the report and the summary show, read from the lake: metrics, releases, runs, rows behind the numbers.

DuckDB streams each table, so that nothing here grows with the events of a day.
"""

import json
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.dataset as ds

from jobs.lake import Lake, UserError, arrow_dataset

Row = dict[str, Any]
DAYS_SHOWN = 60
EXAMPLES = 5
ENCODERS = 10
USERS = 3
ITEMS = 10
REASONS = 5
_GATED = "kind <> 'rollback'"  # promote and keep are what a run decided


class Metrics:
    """gold.metrics of the days shown, looked up by name."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = {(r["day"], r["job"], r["model"], r["slice"], r["metric"]): r for r in rows}

    @property
    def days(self) -> list[date]:
        return sorted({key[0] for key in self.rows})

    def row(self, day: date, job: str, model: str, slice_: str, metric: str) -> Row | None:
        """None where the metric was not measured, or is not defined (one class only)."""
        row = self.rows.get((day, job, model, slice_, metric))
        return row if row and row["value"] is not None else None

    def value(self, day: date, job: str, model: str, slice_: str, metric: str) -> float | None:
        row = self.row(day, job, model, slice_, metric)
        return row["value"] if row else None

    def of(self, day: date, job: str, model: str) -> list[Row]:
        """All that `job` measured of `model` on a day, sorted by slice and metric."""
        found = [row for key, row in self.rows.items() if key[:3] == (day, job, model)]
        return sorted(found, key=lambda row: (row["slice"], row["metric"]))

    def told(self, day: date, job: str, slice_: str) -> list[str]:
        """What `job` said in words about the challenger of a day."""
        return [row["metric"] for row in self.of(day, job, "challenger") if row["slice"] == slice_]


def query(lake: Lake, table: str, sql: str, *values: object) -> list[Row]:
    """DuckDB SQL over one table, there called `t`; the table is streamed, never held."""
    with duckdb.connect() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        engine.register("t", arrow_dataset(lake.delta(table)))
        rows: list[Row] = engine.sql(sql, params=list(values)).to_arrow_table().to_pylist()
        return rows


def metrics_until(lake: Lake, day: date) -> Metrics:
    shown = (ds.field("day") <= day) & (ds.field("day") > day - timedelta(DAYS_SHOWN))
    return Metrics(lake.arrow("gold.metrics", where=shown).to_pylist())


def decision(lake: Lake, day: date) -> Row | None:
    """The release row that the run of `day` wrote, promoted or kept; None if it wrote none."""
    sql = f"SELECT * FROM t WHERE day = ? AND {_GATED} ORDER BY release DESC LIMIT 1"
    return next(iter(query(lake, "gold.releases", sql, day)), None)


def newest_runs(lake: Lake, day: date) -> dict[str, Row]:
    """The newest run of each job for a day, in the order they started."""
    rows = query(
        lake, "ops.runs", "SELECT * FROM t WHERE day = ? AND job <> 'explain' ORDER BY started_at, run_id", day
    )
    newest: dict[str, Row] = {}
    for row in rows:
        newest.pop(row["job"], None)
        newest[row["job"]] = row
    return newest


def rejects(lake: Lake, day: date) -> list[Row]:
    """Reject reasons of the lines due on `day`, the most frequent first, with the first few lines of each."""
    sql = """
        SELECT source, reason, count(*) AS lines,
               arg_min({'file': file, 'line': line, 'raw': left(raw, 400)}, (file, line), $2) AS examples
        FROM t WHERE day = $1 GROUP BY source, reason ORDER BY lines DESC, source, reason"""
    return query(lake, "bronze.rejects", sql, day, EXAMPLES)


def code_counts(lake: Lake, codebook: str, day: date) -> list[list[int]]:
    """Items per used code of each level, the fullest first."""
    sql = """
        SELECT count(*) AS items FROM t WHERE codebook_version = ? AND day <= ?
        GROUP BY {level} ORDER BY items DESC"""
    levels = ("c1", "c2", "c3")
    return [
        [row["items"] for row in query(lake, "gold.semantic_ids", sql.format(level=level), codebook, day)]
        for level in levels
    ]


def judged_pairs(lake: Lake, day: date) -> list[Row]:
    """Per source: how many pairs were judged, kept, dropped and unsure, by whom, and the closest pairs of each
    verdict, with titles.
    """
    sql = """
        SELECT source, verdict, count(*) AS pairs, max(judge_version) AS judge, sum(judge_seconds) AS seconds,
               arg_max({'item_a': item_a, 'item_b': item_b, 'reason': reason}, (score, item_a, item_b), $2)
                   AS examples
        FROM t WHERE day = $1 AND verdict IS NOT NULL
        GROUP BY source, verdict ORDER BY source, verdict DESC"""
    rows = query(lake, "silver.item_pairs", sql, day, EXAMPLES)
    examples = [pair for row in rows for pair in row["examples"]]
    names = titles(lake, {pair[side] for pair in examples for side in ("item_a", "item_b")})
    for pair in examples:
        pair["title_a"], pair["title_b"] = names[pair["item_a"]], names[pair["item_b"]]
    sources = {row["source"]: [r for r in rows if r["source"] == row["source"]] for row in rows}
    return [{"source": source, "verdicts": found, **_kept(found)} for source, found in sources.items()]


def _kept(verdicts: list[Row]) -> Row:
    counted = {row["verdict"]: row["pairs"] for row in verdicts}
    judged, kept = sum(counted.values()), counted.get("yes", 0)
    seconds = [row["seconds"] for row in verdicts if row["seconds"] is not None]
    return {
        "judged": judged,
        "kept": kept,
        "no": counted.get("no", 0),
        "unsure": counted.get("unsure", 0),
        "dropped": 1 - kept / judged,
        "judge": verdicts[0]["judge"],
        "seconds": sum(seconds) if seconds else None,
    }


def encoders(lake: Lake, day: date) -> list[Row]:
    """The encoders that were tuned up to this day, the newest first."""
    return query(lake, "gold.encoders", "SELECT * FROM t WHERE day <= ? ORDER BY day DESC LIMIT ?", day, ENCODERS)


def sample_users(lake: Lake, day: date, window: int) -> list[Row]:
    """A few users, the same while they are active: what they did lately and what they are recommended."""
    chosen = [row["user_id"] for row in first_items(lake, day)]
    if not chosen:
        return []
    recommended = query(
        lake, "gold.recommendations",
        """SELECT user_id, rank, item_id, score FROM t
           WHERE day = ? AND rank <= ? AND user_id IN ? ORDER BY rank""",
        day, ITEMS, chosen,
    )  # fmt: skip
    history = query(
        lake, "silver.events",
        """SELECT user_id, item_id, arg_max(event, ts) AS event, max(ts) AS ts FROM t
           WHERE day > ? AND day <= ? AND user_id IN ? AND event IN ('click', 'purchase', 'rating')
           GROUP BY user_id, item_id ORDER BY ts DESC, item_id""",
        day - timedelta(window), day, chosen,
    )  # fmt: skip
    reasons = query(
        lake, "gold.explanations",
        """SELECT user_id, history_item_id AS item_id, event, ts, similarity, attention FROM t
           WHERE day = ? AND rank <= ? AND user_id IN ? ORDER BY rank""",
        day, REASONS, chosen,
    )  # fmt: skip
    names = titles(lake, {row["item_id"] for row in [*recommended, *history, *reasons]})
    for row in [*recommended, *history, *reasons]:
        row["title"] = names[row["item_id"]]

    def mine(rows: list[Row], user: str) -> list[Row]:
        return [row for row in rows if row["user_id"] == user][:ITEMS]

    return [
        {"user_id": u, "history": mine(history, u), "recommended": mine(recommended, u), "reasons": mine(reasons, u)}
        for u in chosen
    ]


def first_items(lake: Lake, day: date) -> list[Row]:
    """The users that the report shows, and the item that each is recommended first."""
    return query(
        lake, "gold.recommendations",
        "SELECT user_id, item_id FROM t WHERE day = ? AND rank = 1 ORDER BY md5(user_id) LIMIT ?", day, USERS,
    )  # fmt: skip


def titles(lake: Lake, items: set[str]) -> dict[str, str]:
    """The title of each item, or its ID where it has none."""
    if not items:
        return {}
    found = query(lake, "silver.items", "SELECT item_id, title FROM t WHERE item_id IN ?", sorted(items))
    return {item: item for item in items} | {row["item_id"]: row["title"] for row in found if row["title"]}


def best_reachable(landing: str) -> dict[str, dict[str, float]]:
    """Each day's best AUC, if the landing folder holds a simulated log; else nothing."""
    truth = Path(landing) / "truth.json"
    if not landing or not truth.is_file():
        return {}
    try:
        return dict(json.loads(truth.read_text()))
    except ValueError as error:
        raise UserError(f"{truth} is no JSON ({error}); simulate again, or remove it") from None
