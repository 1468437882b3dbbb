"""Whether a challenger may go live in the champion's place: by what is known of their difference, not by chance."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pyarrow.dataset as ds

from jobs.lake import Lake
from jobs.release.settings import SLICE_OF, Gate

MOST_DAYS = 30  # that count together: what is older says little about today's recipe
Row = Mapping[str, Any]  # of gold.metrics
ByMetric = Mapping[str, Row]


@dataclass(frozen=True)
class Difference:
    """A metric of the challengers of some days minus that of the champion, with the 95 % interval.

    today  the difference of the last day alone
    """

    today: float
    value: float
    low: float
    high: float
    days: int

    def __str__(self) -> str:
        over = f"; over {self.days} days {self.value:+.4f}" if self.days > 1 else ""
        return f"difference {self.today:+.4f}{over}, 95 % interval {self.low:+.4f} to {self.high:+.4f}"


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
        past: rows["challenger_minus_champion"]
        for past, rows in by_day.items()
        if len(rows) == 2 and rows["champion"]["version"] == champion
    }
    measured = {past: row for past, row in compared.items() if _says_something(row, gate)}
    return pool(measured.pop(day), list(measured.values())) if day in measured else None


def _says_something(difference: Row, gate: Gate) -> bool:
    """A day with few rows has intervals that are too narrow. One with the champion's own weights has none at all."""
    return (
        difference["rows"] >= gate.min_test_rows
        and difference["ci_low"] is not None
        and difference["ci_low"] < difference["ci_high"]
    )


def pool(today: Row, before: Sequence[Row]) -> Difference:
    """The difference over several days, each of which counts by its number of rows.

    today, before  rows of gold.metrics, each with an interval that has a width
    """
    rows = [today, *before]
    if not before:
        return Difference(today["value"], today["value"], today["ci_low"], today["ci_high"], 1)
    total = sum(row["rows"] for row in rows)
    value = sum(row["rows"] * row["value"] for row in rows) / total
    half = math.sqrt(sum((row["rows"] * (row["ci_high"] - row["ci_low"]) / 2) ** 2 for row in rows)) / total
    return Difference(today["value"], value, value - half, value + half, len(rows))


def find_objection(
    difference: Difference, challenger: ByMetric, champion: ByMetric, loss: Row, gate: Gate
) -> str | None:
    """Why a challenger does not go live in the champion's place, None if it does.

    challenger, champion  what was measured of them
    loss                  the difference of their log losses
    """
    # Earlier days speak for the recipe, not for the model of today.
    if min(difference.low, difference.today) <= -gate.max_drop:
        return f"it may be worse by more than gate.max_drop, {gate.max_drop}"
    highest = gate.max_loss_rise * champion["log_loss"]["value"]
    if loss["ci_low"] is not None and loss["ci_low"] > highest:
        interval = f"95 % interval {loss['ci_low']:+.4f} to {loss['ci_high']:+.4f}"
        limit = f"gate.max_loss_rise, {gate.max_loss_rise:.0%}"
        return f"the log loss is higher than the champion's by {loss['value']:.4f} ({interval}), by more than {limit}"
    return _find_miscalibration(challenger["calibration"], champion["calibration"], gate)


def _find_miscalibration(ours: Row, theirs: Row, gate: Gate) -> str | None:
    """A challenger may be as far off as the champion: on a day on which all users click more, every model is."""
    if ours["ci_low"] is None or theirs["value"] is None:  # no row has a label of 1
        return None
    most = 1 + gate.max_miscalibration
    is_far = ours["ci_low"] > most or ours["ci_high"] < 1 / most
    if not is_far or _distance(ours["value"]) <= _distance(theirs["value"]):
        return None
    allowed = f"the champion's {theirs['value']:.3f}; gate.max_miscalibration is {gate.max_miscalibration:.0%}"
    interval = f"95 % interval {ours['ci_low']:.3f} to {ours['ci_high']:.3f}"
    return f"the mean prediction is {ours['value']:.3f} times the mean label ({interval}, {allowed})"


def _distance(ratio: float) -> float:
    return abs(math.log(ratio)) if ratio > 0 else math.inf
