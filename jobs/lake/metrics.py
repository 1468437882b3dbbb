"""Write what a job measured to gold.metrics."""

import math
from collections.abc import Mapping
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from jobs.lake import Lake
from jobs.lake.contracts import contracts

TABLE = "gold.metrics"


def metric_rows(
    model: str,
    slice_: str,
    values: Mapping[str, float],
    *,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    rows: int | None = None,
    version: str | None = None,
) -> list[dict[str, Any]]:
    """One row for each metric; NaN (not defined on this slice) becomes null."""

    def number(value: float | None) -> float | None:
        return None if value is None or math.isnan(value) else float(value)

    found = []
    for metric, value in values.items():
        low, high = (intervals or {}).get(metric, (None, None))
        bounds = {"ci_low": number(low), "ci_high": number(high)}
        found.append({"model": model, "slice": slice_, "metric": metric, "value": number(value), **bounds})
    return [row | {"rows": rows, "version": version} for row in found]


def replace_metrics(lake: Lake, job: str, day: date, rows: list[dict[str, Any]]) -> None:
    """Replace what `job` measured on `day`."""
    full = [row | {"job": job, "day": day} for row in rows]
    lake.replace(TABLE, pa.Table.from_pylist(full, contracts()[TABLE].arrow), day=day, job=job)


def touched_days(lake: Lake, day: date) -> set[date]:
    """The event days that ingest of `day` wrote when it last ran."""
    mine = (ds.field("day") == day) & (ds.field("job") == "ingest") & (ds.field("model") == "event_days")
    return {date.fromisoformat(text) for text in lake.arrow("gold.metrics", ["slice"], mine)["slice"].to_pylist()}
