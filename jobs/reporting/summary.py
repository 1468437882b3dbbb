"""Summarize the runs of some days, for the tables that `make run` prints at the end.

    python -m jobs.reporting.summary --days 2026-11-18 2026-11-19

Reads ops.runs, gold.metrics and gold.releases. The last line on standard output is a JSON list, one row per day.
"""

import argparse
import json
import sys
from datetime import date
from typing import Any

from jobs.lake import Lake, UserError
from jobs.lake.lake import lake_root
from jobs.release.releases import live_release
from jobs.release.settings import SLICE_OF
from jobs.reporting.metrics import Metrics, load_metrics
from jobs.reporting.publishing import find_report
from jobs.reporting.queries import load_last_runs, load_release_of_day

SUMMARY_METRICS = ("auc", "uauc", "gauc")  # as served
LISTS = ("live", "popular")


def summarize(lake: Lake, days: list[date]) -> list[dict[str, Any]]:
    """One row for each day."""
    return [_summarize_day(lake, day) for day in days]


def _summarize_day(lake: Lake, day: date) -> dict[str, Any]:
    runs = load_last_runs(lake, day)
    metrics = load_metrics(lake, day)
    release = load_release_of_day(lake, day)
    ingest = runs.get("ingest", {})
    return {
        "day": str(day),
        **{name: ingest.get(name) for name in ("rows_in", "rows_rejected", "rows_duplicate", "rows_conflicting")},
        "items_embedded": _to_int(metrics.value(day, "embed", "encoder", "all", "items_embedded")),
        "collision_rate": metrics.codebook_value(day, "collision_rate"),
        **{model: _model_metrics(metrics, day, model) for model in ("champion", "challenger", "din")},
        "hit_rates": {name: metrics.value(day, "evaluate", name, "all", "hit_rate_at_10") for name in LISTS},
        "promoted": bool(release and release["kind"] == "promote"),
        "generator_live": _to_bool(metrics.value(day, "generate", "generator", "all", "live")),
        "rolled_back_by": _find_rollback(lake, day),
        "reason": release["reason"] if release else _refusal(metrics, day),
        "seconds": {job: round(run["seconds"], 1) for job, run in runs.items()},
        "startup": {job: round(run["startup_seconds"], 1) for job, run in runs.items()},
        "report": find_report(lake, day),
    }


def _model_metrics(metrics: Metrics, day: date, model: str) -> dict[str, float | None] | None:
    """The metrics of a model, None if it was not evaluated."""
    values = {
        metric: metrics.value(day, "evaluate", model, SLICE_OF["as_served"], metric) for metric in SUMMARY_METRICS
    }
    return values if any(value is not None for value in values.values()) else None


def _find_rollback(lake: Lake, day: date) -> int | None:
    """The number of the live release if it took the release of `day` back."""
    live = live_release(lake)
    return live["release"] if live and live["kind"] == "rollback" and live["day"] == day else None


def _refusal(metrics: Metrics, day: date) -> str | None:
    """Why there is no release."""
    reasons = metrics.texts(day, "promote", "refused")
    return f"no release: {reasons[0]}" if reasons else None


def _to_bool(value: float | None) -> bool | None:
    return None if value is None else bool(value)


def _to_int(value: float | None) -> int | None:
    return None if value is None else int(value)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.reporting.summary", description=__doc__)
    parser.add_argument("--days", type=date.fromisoformat, nargs="+", required=True, help="as 2026-11-20")
    days = parser.parse_args().days
    try:
        print(json.dumps(summarize(Lake(lake_root()), days)))
    except UserError as error:
        sys.exit(f"summary failed: {error}")


if __name__ == "__main__":
    main()
