"""Publish the day: set the MLflow alias, then write one row to gold.releases, which makes the release live.

    python -m jobs.promote --day 2026-11-20
    python -m jobs.promote --day 2026-11-20 --rollback

Reads gold.decisions, gold.metrics, gold.releases and the models. Writes gold.metrics (job promote) and gold.releases.
The release follows the decision that evaluate wrote down, which recommend has followed, too. It names the versions of
the tables that these jobs read and wrote. --rollback makes the release before the live one live again, as a
new row.
"""

import argparse
from datetime import date

from jobs.lake import JobResult, Lake
from jobs.lake.metrics import metric_rows, replace_metrics
from jobs.release.decisions import load_decision
from jobs.release.mlflow_registry import register_release
from jobs.release.publishing import publish_release, roll_back
from jobs.runtime.entry import main
from jobs.settings.tree import Settings


def run(lake: Lake, settings: Settings, day: date, rollback: bool = False) -> JobResult:
    if rollback:
        row = roll_back(lake)
        return JobResult(rows_out=1, notes={name: row[name] for name in ("release", "model_version", "reason")})
    decision = load_decision(lake, day)
    if decision.kind != "superseded":
        rows = metric_rows("challenger", "all", {"promoted": decision.kind == "promote"})
        if decision.uri is None:
            rows += metric_rows("challenger", "refused", {decision.reason: 1.0})
        replace_metrics(lake, "promote", day, rows)
    if decision.uri is None:
        return JobResult(notes={"released": False, "promoted": False, "reason": decision.reason})
    register_release(lake, settings, day, decision)
    number = publish_release(lake, day, decision)
    notes = {"promoted": decision.kind == "promote", "release": number, "reason": decision.reason}
    return JobResult(rows_out=1, notes={"released": True, **notes})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rollback", action="store_true", help="make the previous ranker and generator live again")


if __name__ == "__main__":
    main(run, add_arguments)
