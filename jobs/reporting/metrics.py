"""Look up what was measured: the rows of gold.metrics of the last days."""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import pyarrow.dataset as ds

from jobs.lake import Lake

Row = dict[str, Any]
DAYS_SHOWN = 60


class Metrics:
    """Rows of gold.metrics, found by day, job, model, slice and metric."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = {(r["day"], r["job"], r["model"], r["slice"], r["metric"]): r for r in rows}

    @property
    def days(self) -> list[date]:
        return sorted({key[0] for key in self.rows})

    def row(self, day: date, job: str, model: str, slice_: str, metric: str) -> Row | None:
        """The row of a metric. None if it was not measured, or is not defined (its rows have one class only)."""
        row = self.rows.get((day, job, model, slice_, metric))
        return row if row and row["value"] is not None else None

    def value(self, day: date, job: str, model: str, slice_: str, metric: str) -> float | None:
        row = self.row(day, job, model, slice_, metric)
        return row["value"] if row else None

    def codebook_value(self, day: date, metric: str, slice_: str = "all") -> float | None:
        """What quantize measured about the codebook."""
        return self.value(day, "quantize", "codebook", slice_, metric)

    def rows_of(self, day: date, job: str, model: str) -> list[Row]:
        """All rows that `job` measured about `model` on a day, sorted by slice and metric."""
        rows = [row for key, row in self.rows.items() if key[:3] == (day, job, model)]
        return sorted(rows, key=lambda row: (row["slice"], row["metric"]))

    def texts(self, day: date, job: str, slice_: str) -> list[str]:
        """What `job` wrote about the challenger in words: in these slices a metric's name is a text."""
        return [row["metric"] for row in self.rows_of(day, job, "challenger") if row["slice"] == slice_]


def load_metrics(lake: Lake, day: date) -> Metrics:
    """The metrics of the last DAYS_SHOWN days up to `day`."""
    is_shown = (ds.field("day") <= day) & (ds.field("day") > day - timedelta(DAYS_SHOWN))
    return Metrics(lake.arrow("gold.metrics", where=is_shown).to_pylist())
