"""Write one self-contained page about a day's run: what was decided, and the numbers behind the decision.

    python -m jobs.report --day 2026-11-20 [--data landing]

Reads gold.metrics, gold.releases, ops.runs and the tables behind the numbers. Writes <LAKE>/reports/<day>.html, and
<day>-codes.html, which shows the items behind the semantic IDs. If the logs are simulated, <data>/_truth.json holds the
best AUC that any model could reach, and the page shows it.
"""

import argparse
import os
from datetime import date

from jobs.lake import JobResult, Lake
from jobs.reporting.code_tree import build_code_tree
from jobs.reporting.codebook_sections import find_codebook_version
from jobs.reporting.metrics import load_metrics
from jobs.reporting.page import build_report
from jobs.reporting.publishing import publish_page
from jobs.reporting.queries import load_best_auc, load_release_of_day
from jobs.runtime.entry import main
from jobs.settings.tree import Settings


def run(lake: Lake, settings: Settings, day: date, data: str = "") -> JobResult:
    metrics = load_metrics(lake, day)
    release = load_release_of_day(lake, day)
    html = build_report(
        lake,
        metrics,
        day,
        release=release,
        history_days=settings.recommend.active_days,
        best_auc=load_best_auc(data),
    )
    if version := find_codebook_version(metrics, day, release):
        publish_page(lake, f"{day}-codes", build_code_tree(lake, version, day))
    return JobResult(rows_out=1, notes={"report": publish_page(lake, str(day), html)})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", default=os.environ.get("DATA", ""), help="the landing folder (default: DATA)")


if __name__ == "__main__":
    main(run, add_arguments)
