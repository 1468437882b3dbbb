"""Whether a challenger may go live in the champion's place: by what is known of their difference, not by chance."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pyarrow.dataset as ds

from jobs.lake import Lake
from jobs.release.settings import SLICE_OF, Gate

NORMAL_95 = 1.96  # half the width of a 95 % interval, in standard errors
MOST_DAYS = 30  # that count together: what is older says little about today's recipe
Row = Mapping[str, Any]  # of gold.metrics
ByMetric = Mapping[str, Row]


@dataclass(frozen=True)
class Difference:
    """A metric of the challengers of some days minus that of the champion, with the 95 % interval."""

    value: float
    low: float
    high: float
    days: int

    def __str__(self) -> str:
        days = f" over {self.days} days" if self.days > 1 else ""
        return f"{self.value:+.4f}{days}, 95 % interval {self.low:+.4f} to {self.high:+.4f}"


def pool_days(lake: Lake, gate: Gate, champion: str, day: date) -> Difference | None:
    """The gate's difference on the days since this champion went live. None if this day has no interval.

    The challengers of several days are of one recipe, and each was measured on the rows of its own day.

    champion  its model_version
    """
    since = day - timedelta(days=MOST_DAYS)
    where = (ds.field("job") == "evaluate") & (ds.field("day") > since) & (ds.field("day") <= day)
    where &= (ds.field("slice") == SLICE_OF[gate.protocol]) & (ds.field("metric") == gate.metric)
    where &= ds.field("model").isin(["champion", "challenger_minus_champion"])
    by_day: dict[date, dict[str, Row]] = {}
    for row in lake.arrow("gold.metrics", where=where).to_pylist():
        by_day.setdefault(row["day"], {})[row["model"]] = row
    compared = {
        of: rows["challenger_minus_champion"]
        for of, rows in by_day.items()
        if len(rows) == 2 and rows["champion"]["version"] == champion
    }
    # A challenger with the champion's own weights has an interval without a width: it says nothing of the recipe.
    measured = {of: row for of, row in compared.items() if row["ci_low"] is not None and row["ci_low"] < row["ci_high"]}
    return pool(list(measured.values())) if day in measured else None


def pool(rows: Sequence[Row]) -> Difference:
    """The difference over several days. A day counts by the inverse of its variance (fixed-effect meta-analysis).

    rows  of gold.metrics, at least one, each with an interval that has a width
    """
    if len(rows) == 1:
        return Difference(rows[0]["value"], rows[0]["ci_low"], rows[0]["ci_high"], 1)
    weights = [(2 * NORMAL_95 / (row["ci_high"] - row["ci_low"])) ** 2 for row in rows]
    value = sum(weight * row["value"] for weight, row in zip(weights, rows, strict=True)) / sum(weights)
    half = NORMAL_95 / math.sqrt(sum(weights))
    return Difference(value, value - half, value + half, len(rows))


def find_lack(difference: Difference, challenger: ByMetric, champion: ByMetric, loss: Row, gate: Gate) -> str | None:
    """Why a challenger does not go live in the champion's place, None if it does.

    challenger, champion  what was measured of them
    loss                  the difference of their log losses
    """
    if difference.low <= -gate.max_drop:
        return f"it may be worse by more than gate.max_drop, {gate.max_drop}"
    if loss["ci_low"] is not None and loss["ci_low"] > gate.max_drop:
        interval = f"95 % interval {loss['ci_low']:+.4f} to {loss['ci_high']:+.4f}, gate.max_drop is {gate.max_drop}"
        return f"the log loss is higher than the champion's by {loss['value']:.4f} ({interval})"
    return _find_miscalibration(challenger["calibration"]["value"], champion["calibration"]["value"], gate)


def _find_miscalibration(ours: float | None, theirs: float | None, gate: Gate) -> str | None:
    """A challenger may be as far off as the champion: on a day on which all users click more, every model is."""
    if not ours or not theirs:  # no row has a label of 1, or a model says 0 for all
        return None
    if abs(math.log(ours)) <= max(math.log1p(gate.max_miscalibration), abs(math.log(theirs))):
        return None
    allowed = f"the champion's {theirs:.3f}; gate.max_miscalibration is {gate.max_miscalibration:.0%}"
    return f"the mean prediction is {ours:.3f} times the mean label ({allowed})"
