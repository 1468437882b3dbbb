"""Sections of the report about semantic IDs: use of the codes, quality, refits, collisions over days."""

from datetime import date
from typing import Any

from jobs.lake import Lake
from jobs.reporting.metrics import Metrics, Row
from jobs.reporting.plots import Series, day_labels, plot_lines, plot_usage
from jobs.reporting.queries import count_items_per_code

QUALITY = (
    ("collision_rate", "items that share their ID with another item", "percent"),
    ("unique_share", "number of different IDs, in % of the number of items", "percent"),
    ("largest_bucket", "items behind the most frequent ID", "whole"),
    ("edge_num", "items found if you look up an item by its ID, mean (EdgeNum)", "four_decimals"),
    ("hr_at_1", "chance that the first item found is the right one (HR@1)", "percent"),
    ("hr_at_10", "chance that the right one is among the first ten (HR@10)", "percent"),
    ("rebuild_error", "rebuild error", "scientific"),
    ("preserved_neighbours_c1", "of an item's ten nearest items, those with the same c1", "percent"),
    ("preserved_neighbours_c1c2", "of an item's ten nearest items, those with the same c1 and c2", "percent"),
)
# Measured only for IDs of behaviour.
BEHAVIOUR = ("without_behaviour", "items on which nobody acted: their text predicts their behaviour", "percent")
MOVED = ("moved_c1", "moved_c1c2", "moved_id")


def find_codebook_version(metrics: Metrics, day: date, release: Row | None) -> str | None:
    """The codebook that was measured on the day. If there is none, the codebook of the day's release."""
    measured = metrics.row(day, "quantize", "codebook", "all", "collision_rate")
    if measured and measured["version"]:
        return str(measured["version"])
    return str(release["codebook_version"]) if release else None


def code_usage(lake: Lake, metrics: Metrics, day: date, codebook_version: str | None) -> list[Row]:
    """For each level: a plot of the items per code, and how evenly the codes are used."""
    levels: list[Row] = []
    item_counts = count_items_per_code(lake, codebook_version, day) if codebook_version else []
    for level, counts in enumerate(item_counts, start=1):
        used, dead, perplexity, rebuild_error = (
            metrics.codebook_value(day, f"{name}_{level}")
            for name in ("used_codes", "dead_codes", "perplexity", "rebuild_error")
        )
        if rebuild_error is None:  # on the last level it is measured under the name of the whole codebook
            rebuild_error = metrics.codebook_value(day, "rebuild_error")
        size = int((used or len(counts)) + (dead or 0))
        plot = plot_usage(f"Items per code of level {level}", counts, size)
        levels.append(
            {"level": level, "counts": counts, "size": size, "plot": plot}
            | {"perplexity": perplexity, "rebuild_error": rebuild_error}
        )
    return levels if any(level["counts"] for level in levels) else []


def codebook_quality(metrics: Metrics, day: date) -> list[tuple[str, float | None, float | None, str]]:
    """For each measure: its name, its value on the day and the last one before it, and the format of the values."""
    days = [d for d in metrics.days if metrics.codebook_value(d, "collision_rate") is not None]
    if day not in days:
        return []
    earlier_days = [d for d in days if d < day]

    def value_before(metric: str) -> float | None:
        return metrics.codebook_value(earlier_days[-1], metric) if earlier_days else None

    has_behaviour = metrics.codebook_value(day, BEHAVIOUR[0]) is not None
    return [
        (name, metrics.codebook_value(day, metric), value_before(metric), number_format)
        for metric, name, number_format in (*QUALITY, *([BEHAVIOUR] if has_behaviour else []))
    ]


def refits(metrics: Metrics) -> list[Row]:
    """For each refit of the codebook, the newest first: which share of the items moved to another code."""
    rows = [
        {name: metrics.row(day, "quantize", "codebook", "refit", name) for name in MOVED} | {"day": day}
        for day in metrics.days
    ]
    return [row for row in reversed(rows) if row["moved_id"]]


def collisions_by_day(metrics: Metrics) -> dict[str, Any]:
    """A plot and rows of the collision rate."""
    slices = {"all": "all items", "new_items": "new items"}
    rows: list[Row] = [
        {"day": day} | {slice_: metrics.codebook_value(day, "collision_rate", slice_) for slice_ in slices}
        for day in metrics.days
    ]
    rows = [row for row in rows if any(row[slice_] is not None for slice_ in slices)]
    series = [
        Series(name, [row[slice_] for row in rows], colour=colour)
        for colour, (slice_, name) in enumerate(slices.items())
    ]
    plot = plot_lines("Collision rate, day by day", day_labels(rows), series, 2.2, percent=True)
    return {"rows": rows, "plot": plot}
