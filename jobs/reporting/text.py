"""How the report says numbers, and its first sentence."""

from collections.abc import Callable
from datetime import date
from typing import Any

from markupsafe import Markup

from jobs.reporting.data import Metrics, Row

NOTHING = "\N{EN DASH}"


def _written(form: str) -> Callable[[float | None], str]:
    def write(value: float | None) -> str:
        if value is None:
            return NOTHING
        return form.format(value).replace("-", "\N{MINUS SIGN}")

    return write


def interval(row: Row | None) -> str:
    """A metric with the ends of its interval, which may stand on a line of its own."""
    if not row or row["value"] is None:
        return NOTHING
    four = FILTERS["four"]
    low, high = four(row["ci_low"]), four(row["ci_high"])
    if NOTHING in (low, high):
        return four(row["value"])
    return Markup(f"{four(row['value'])} <small>{low} to {high}</small>")


def headline(metrics: Metrics, decision: Row | None, newest: Row | None, day: date) -> str:
    """Promoted or not, and why, in one sentence; `newest` is the release that is live today."""
    if decision and decision["kind"] == "promote":
        return f"The challenger was promoted; {_sentence(decision['reason'])}"
    if decision:
        return f"The champion stays; {_sentence(decision['reason'])}"
    if metrics.value(day, "ingest", "rows", "events", "rows_in") == 0:
        return "No events came on this day, so no model was changed."
    if newest and newest["day"] > day:
        return f"Nothing was released: a release of a later day ({newest['day']}) is live."
    if any(key[:2] == (day, "promote") for key in metrics.rows):
        why = metrics.told(day, "promote", "refused")
        return f"Nothing was released; {_sentence(why[0])}" if why else "Nothing was released."
    if any(key[0] == day for key in metrics.rows):
        return "Nothing was released: this day's run did not come to a decision."
    return "Nothing was measured on this day."


def _sentence(text: str) -> str:
    return text.strip().rstrip(".") + "."


FILTERS: dict[str, Callable[[Any], str]] = {
    "whole": _written("{:,.0f}"),
    "one": _written("{:,.1f}"),
    "four": _written("{:.4f}"),
    "small": _written("{:.2e}"),
    "signed": _written("{:+.4f}"),
    "percent": lambda value: NOTHING if value is None else f"{100 * value:.2f} %",
    "interval": interval,
}
