"""Tell what the runs of some days came to, for the table that `make run` ends with.

    python -m jobs.reporting.summary --days 2026-11-18 2026-11-19

Reads ops.runs, gold.metrics, gold.releases. The last line on standard output is a JSON list, one row per day.
"""

import argparse
import json
import sys
from datetime import date
from typing import Any

from jobs.lake import Lake, UserError
from jobs.lake.lake import lake_root
from jobs.reporting.data import Metrics, decision, metrics_until, newest_runs
from jobs.reporting.publishing import report_address

MEASURES = ("auc", "uauc", "gauc")


def summary(lake: Lake, days: list[date]) -> list[dict[str, Any]]:
    return [_row(lake, day) for day in days]


def _row(lake: Lake, day: date) -> dict[str, Any]:
    runs = newest_runs(lake, day)
    metrics = metrics_until(lake, day)
    decided = decision(lake, day)
    ingest = runs.get("ingest", {})
    return {
        "day": str(day),
        **{name: ingest.get(name) for name in ("rows_in", "rows_rejected", "rows_duplicate")},
        "items_embedded": _whole(metrics.value(day, "embed", "encoder", "all", "items_embedded")),
        "collision_rate": metrics.value(day, "quantize", "codebook", "all", "collision_rate"),
        **{model: _measured(metrics, day, model) for model in ("champion", "challenger", "din")},
        "promoted": bool(decided and decided["kind"] == "promote"),
        "reason": decided["reason"] if decided else _refused(metrics, day),
        "seconds": {job: round(run["seconds"], 1) for job, run in runs.items()},
        "startup": {job: round(run["startup_seconds"], 1) for job, run in runs.items()},
        "report": report_address(lake, day),
    }


def _measured(metrics: Metrics, day: date, model: str) -> dict[str, float | None] | None:
    found = {measure: metrics.value(day, "evaluate", model, "all", measure) for measure in MEASURES}
    return found if any(value is not None for value in found.values()) else None


def _refused(metrics: Metrics, day: date) -> str | None:
    """Why there is no release."""
    why = metrics.told(day, "promote", "refused")
    return f"no release: {why[0]}" if why else None


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m jobs.reporting.summary", description=__doc__)
    parser.add_argument("--days", type=date.fromisoformat, nargs="+", required=True, help="as 2026-11-20")
    days = parser.parse_args().days
    try:
        print(json.dumps(summary(Lake(lake_root()), days)))
    except UserError as error:
        sys.exit(f"summary failed: {error}")


if __name__ == "__main__":
    main()
