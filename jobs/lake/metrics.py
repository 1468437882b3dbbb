"""Write the metrics of a job to gold.metrics."""

import math
from collections.abc import Mapping
from datetime import date
from typing import Any

import pyarrow as pa

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
    """Make a row of gold.metrics for each metric. NaN (not defined on this slice) becomes null.

    values     value of each metric, by its name
    intervals  lower and upper end of the 95 % interval of some metrics, by name
    rows       number of rows that were measured
    version    model_version or codebook_version that was measured
    """

    def nullable(value: float | None) -> float | None:
        return None if value is None or math.isnan(value) else float(value)

    metrics = []
    for metric, value in values.items():
        low, high = (intervals or {}).get(metric, (None, None))
        bounds = {"ci_low": nullable(low), "ci_high": nullable(high)}
        metrics.append({"model": model, "slice": slice_, "metric": metric, "value": nullable(value), **bounds})
    return [row | {"rows": rows, "version": version} for row in metrics]


def replace_metrics(lake: Lake, job: str, day: date, rows: list[dict[str, Any]]) -> None:
    """Replace the metrics of a job and day by `rows`, which `metric_rows` makes."""
    complete = [row | {"job": job, "day": day} for row in rows]
    lake.replace(TABLE, pa.Table.from_pylist(complete, contracts()[TABLE].arrow), day=day, job=job)
