"""The tables that `make run` prints at the end, with a column for each day."""

from __future__ import annotations

from typing import Any

from printable import printable
from rich.console import Console
from rich.table import Table

Row = dict[str, Any]
MODELS = ("champion", "challenger")
LISTS = {"live": "lists", "popular": "popular items"}  # of the day before


def print_summary(rows: list[Row], console: Console) -> None:
    """Print the results of each day, the seconds of each task, each day's decision and the path of the last report.

    rows  one for each day, as `python -m jobs.reporting.summary` prints them
    """
    tables = {"Results": results_table(rows), "Seconds (start-up in brackets)": seconds_table(rows)}
    for title, table in tables.items():
        console.print()
        console.print(title, style="bold")
        console.print(table)
    console.print()
    for row in rows:
        reason = row["reason"] or "no release; the log of its task promote says why"
        if row["rolled_back_by"]:
            reason += f"; rolled back since: release {row['rolled_back_by']} is live"
        console.print(printable(f"{row['day']}: {reason}"), soft_wrap=True, markup=False)
    console.print()
    console.print(printable(f"Report: {rows[-1]['report']}"), soft_wrap=True, markup=False)


def results_table(rows: list[Row]) -> Table:
    table = _empty_table(rows)
    has_conflicts = any(row["rows_conflicting"] for row in rows)
    row_counts = ["rows_in", "rows_rejected", "rows_duplicate", *(["rows_conflicting"] if has_conflicts else [])]
    for key in (*row_counts, "items_embedded"):
        table.add_row(key.replace("_", " "), *(_format_number(row[key], ",.0f") for row in rows))
    table.add_row("semantic-ID collision rate", *(_format_number(row["collision_rate"], ".2%") for row in rows))
    for metric in ("auc", "uauc", "gauc"):
        for model in MODELS:
            values = (_format_number((row[model] or {}).get(metric), ".4f") for row in rows)
            table.add_row(f"{metric.upper()} of {model}", *values)
    for key, name in LISTS.items():
        table.add_row(f"hit rate at 10, {name}", *(_format_number(row["hit_rates"][key], ".2%") for row in rows))
    table.add_row("promoted", *map(_describe_decision, rows))
    if any(row["generator_live"] is not None for row in rows):
        table.add_row("generator live", *({True: "yes", False: "no", None: "-"}[row["generator_live"]] for row in rows))
    return table


def seconds_table(rows: list[Row]) -> Table:
    table = _empty_table(rows)
    for task in dict.fromkeys(task for row in rows for task in row["seconds"]):
        table.add_row(task, *(_format_seconds(row["seconds"].get(task), row["startup"].get(task)) for row in rows))
    sums = (_format_seconds(sum(row["seconds"].values()), sum(row["startup"].values())) for row in rows)
    table.add_row("all tasks", *sums, style="bold")
    return table


def _empty_table(rows: list[Row]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("day", no_wrap=True)
    for row in rows:
        table.add_column(str(row["day"]), justify="right", no_wrap=True)
    return table


def _describe_decision(row: Row) -> str:
    if row["rolled_back_by"]:
        return "rolled back"
    return "yes" if row["promoted"] else "no"


def _format_number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _format_seconds(seconds: float | None, startup: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} ({startup or 0.0:.1f})"
