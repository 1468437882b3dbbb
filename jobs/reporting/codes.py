"""What the report says of the codebook: use of its codes, health, refits, collisions over the days."""

from datetime import date
from typing import Any

from jobs.lake import Lake
from jobs.reporting import data as read
from jobs.reporting.plots import Series, lines, usage

HEALTH = (
    ("collision_rate", "items that share their ID", "percent"),
    ("unique_share", "different IDs to items", "percent"),
    ("largest_bucket", "items behind the fullest ID", "whole"),
    ("edge_num", "items that a lookup of an item's ID finds (EdgeNum)", "four"),
    ("hr_at_1", "the item itself comes first (HR@1)", "percent"),
    ("hr_at_10", "the item itself is among the first ten (HR@10)", "percent"),
    ("rebuild_error", "squared rebuild error per number of a vector", "small"),
    ("preserved_neighbours_c1", "of the ten nearest items share c1", "percent"),
    ("preserved_neighbours_c1c2", "of the ten nearest items share c1 and c2", "percent"),
)


def codebook(metrics: read.Metrics, day: date, decision: read.Row | None) -> str | None:
    """The codebook that the day measured, or else published with; None if there is none."""
    measured = metrics.row(day, "quantize", "codebook", "all", "collision_rate")
    if measured and measured["version"]:
        return str(measured["version"])
    return str(decision["codebook_version"]) if decision else None


def codes(lake: Lake, metrics: read.Metrics, day: date, decision: read.Row | None) -> list[dict[str, Any]]:
    version = codebook(metrics, day, decision)
    levels = []
    for level, counts in enumerate(read.code_counts(lake, version, day) if version else [], start=1):
        told = {
            name: metrics.value(day, "quantize", "codebook", "all", f"{name}_{level}")
            for name in ("used_codes", "dead_codes", "perplexity", "rebuild_error")
        }
        if told["rebuild_error"] is None:  # the last level: what all codes rebuild
            told["rebuild_error"] = metrics.value(day, "quantize", "codebook", "all", "rebuild_error")
        size = int((told["used_codes"] or len(counts)) + (told["dead_codes"] or 0))
        plot = usage(f"level {level}", counts, size)
        levels.append({"level": level, "counts": counts, "size": size, "plot": plot, **told})
    return levels if any(level["counts"] for level in levels) else []


def health(metrics: read.Metrics, day: date) -> list[tuple[str, float | None, float | None, str]]:
    """Of the codebook: name, today's value, that of the day before it was last measured, the filter that writes it."""
    days = [d for d in metrics.days if metrics.row(d, "quantize", "codebook", "all", "collision_rate")]
    before = max((d for d in days if d < day), default=day)

    def value(of: date, metric: str) -> float | None:
        return metrics.value(of, "quantize", "codebook", "all", metric)

    found = [(name, value(day, m), value(before, m) if before < day else None, form) for m, name, form in HEALTH]
    return found if day in days else []


def refits(metrics: read.Metrics) -> list[dict[str, Any]]:
    names = ("moved_c1", "moved_c1c2", "moved_id")
    rows = [
        {n: metrics.row(day, "quantize", "codebook", "refit", n) for n in names} | {"day": day} for day in metrics.days
    ]
    return [row for row in reversed(rows) if row["moved_id"]]


def collisions(metrics: read.Metrics) -> dict[str, Any]:
    kinds = {"all": "all items", "new_items": "new items"}
    rows: list[dict[str, Any]] = [
        {"day": day} | {k: metrics.value(day, "quantize", "codebook", k, "collision_rate") for k in kinds}
        for day in metrics.days
    ]
    rows = [row for row in rows if any(row[kind] is not None for kind in kinds)]
    series = [Series(kinds[k], [row[k] for row in rows], colour=place) for place, k in enumerate(kinds)]
    names = [f"{row['day']:%b %-d}" for row in rows]
    return {
        "rows": rows,
        "plot": lines("collision rate over days", names, series, 2.2, percent=True) if rows else "",
    }
