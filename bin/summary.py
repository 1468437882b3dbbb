"""The table that `make run` ends with: a column for each day."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

Row = dict[str, Any]
MODELS = ("champion", "challenger")


def show(rows: list[Row], console: Console) -> None:
    """Print what each day came to, where its time went, and the report of the last."""
    for title, table in (("Results", results(rows)), ("Seconds (of which start-up)", times(rows))):
        console.print()
        console.print(title, style="bold")
        console.print(table)
    console.print()
    for row in rows:
        why = row["reason"] or "no release; the log of its task promote says why"
        console.print(f"{row['day']}: {why}", soft_wrap=True, markup=False)
    console.print(f"\nReport: {rows[-1]['report']}", soft_wrap=True, markup=False)


def _table(rows: list[Row]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("day", no_wrap=True)
    for row in rows:
        table.add_column(str(row["day"]), justify="right", no_wrap=True)
    return table


def results(rows: list[Row]) -> Table:
    table = _table(rows)
    for key in ("rows_in", "rows_rejected", "rows_duplicate", "items_embedded"):
        table.add_row(key.replace("_", " "), *(_number(row[key], ",.0f") for row in rows))
    table.add_row("semantic-ID collision rate", *(_number(row["collision_rate"], ".2%") for row in rows))
    for score in ("auc", "uauc", "gauc"):
        for model in MODELS:
            values = (_number((row[model] or {}).get(score), ".4f") for row in rows)
            table.add_row(f"{score.upper()} of {model}", *values)
    table.add_row("promoted", *("yes" if row["promoted"] else "no" for row in rows))
    return table


def times(rows: list[Row]) -> Table:
    table = _table(rows)
    for task in dict.fromkeys(task for row in rows for task in row["seconds"]):
        table.add_row(task, *(_time(row["seconds"].get(task), row["startup"].get(task)) for row in rows))
    sums = (_time(sum(row["seconds"].values()), sum(row["startup"].values())) for row in rows)
    table.add_row("all tasks", *sums, style="bold")
    return table


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _time(seconds: float | None, startup: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} ({startup or 0.0:.1f})"
