"""Build the report of a day as one HTML page."""

from datetime import date, timedelta
from typing import Any

from jobs.lake import Lake
from jobs.release.releases import live_release
from jobs.reporting.codebook_sections import (
    code_usage,
    codebook_quality,
    collisions_by_day,
    find_codebook_version,
    refits,
)
from jobs.reporting.example_users import load_example_users
from jobs.reporting.generator_sections import generator_training, hit_rates_by_day
from jobs.reporting.headline import build_headline
from jobs.reporting.judged_pairs import load_judged_pairs
from jobs.reporting.metrics import Metrics, Row
from jobs.reporting.model_sections import (
    AS_SERVED,
    LIST_METRICS,
    LISTS,
    METRICS,
    MODELS,
    auc_by_day,
    list_hits,
    metrics_by_slice,
    source_hits,
    training_curves,
)
from jobs.reporting.plots import Series, day_labels, plot_bars
from jobs.reporting.publishing import data_docs_link
from jobs.reporting.queries import load_last_runs, load_rejects, load_tuned_encoders
from jobs.reporting.templates import render

ROW_FATES = {
    "rows_out": "kept",
    "rows_duplicate": "duplicate",
    "rows_conflicting": "conflicting",
    "rows_rejected": "rejected",
}
FATE_COLOURS = {"rows_out": 0, "rows_duplicate": 3, "rows_conflicting": 2, "rows_rejected": 1}


def build_report(
    lake: Lake,
    metrics: Metrics,
    day: date,
    *,
    release: Row | None,
    history_days: int,
    best_auc: dict[str, dict[str, float]],
) -> str:
    """Build the page.

    release       the release that the run of the day wrote, if any
    history_days  how far back the histories of the example users go
    best_auc      the best possible AUC of each day of a simulated log, else empty
    """
    runs = list(load_last_runs(lake, day).values())
    checks = [row for job in ("ingest", "pairs") for row in metrics.rows_of(day, job, "checks")]
    return render(
        "report.html.j2",
        day=day,
        headline=build_headline(metrics, release, live_release(lake), day),
        key_numbers=_key_numbers(metrics, day, sum(run["seconds"] for run in runs)),
        auc=auc_by_day(metrics, best_auc),
        training=training_curves(metrics, day),
        row_counts=_row_counts_by_day(metrics),
        rejects=load_rejects(lake, day),
        checks=checks,
        failed_checks=[row for row in checks if row["value"] != 1],
        data_docs=data_docs_link(lake),
        code_usage=code_usage(lake, metrics, day, find_codebook_version(metrics, day, release)),
        quality=codebook_quality(metrics, day),
        refits=refits(metrics),
        collisions=collisions_by_day(metrics),
        slices=metrics_by_slice(metrics, day),
        slice_metrics=METRICS,
        missed_by_id_search=metrics.value(day, "evaluate", "challenger", "all", "missed_by_id_search"),
        pairs=load_judged_pairs(lake, day),
        encoders=load_tuned_encoders(lake, day),
        lists=list_hits(metrics, day),
        list_metrics=LIST_METRICS,
        sources=source_hits(metrics, day),
        found_ahead=hit_rates_by_day(metrics),
        generator=generator_training(metrics, day),
        users=load_example_users(lake, day, history_days),
        runs=runs,
        live=live_release(lake, before=str(day + timedelta(days=1))),
    )


def _key_numbers(metrics: Metrics, day: date, seconds: float) -> list[tuple[str, str, float | None, str]]:
    """For each number: a term that the page explains (may be empty), its label, value and format."""
    conflicting = metrics.value(day, "ingest", "rows", "events", "rows_conflicting")
    difference = metrics.value(day, "evaluate", "challenger_minus_champion", AS_SERVED, "auc")
    return [
        ("", "events read", metrics.value(day, "ingest", "rows", "events", "rows_in"), "whole"),
        ("", "duplicate events", metrics.value(day, "ingest", "rows", "events", "rows_duplicate"), "whole"),
        *([("", "conflicting events", conflicting, "whole")] if conflicting else []),
        ("", "rejected events", metrics.value(day, "ingest", "rows", "events", "rows_rejected"), "whole"),
        ("embedded", "items embedded", metrics.value(day, "embed", "encoder", "all", "items_embedded"), "whole"),
        ("collision rate", "collision rate", metrics.codebook_value(day, "collision_rate"), "percent"),
        *(
            (name, f"AUC of {name}", metrics.value(day, "evaluate", model, AS_SERVED, "auc"), "four_decimals")
            for model, name in MODELS.items()
        ),
        ("AUC", "AUC, challenger minus champion", difference, "signed"),
        *(
            (
                "hit rate",
                f"hit rate at 10, {name}",
                metrics.value(day, "evaluate", model, "all", "hit_rate_at_10"),
                "percent",
            )
            for model, name in LISTS.items()
        ),
        ("", "seconds, all tasks", seconds or None, "whole"),
    ]


def _row_counts_by_day(metrics: Metrics) -> dict[str, Any]:
    """A plot and rows of how many events and items were read, and how many of them were kept."""

    def count(day: date, metric: str) -> float | None:
        counts = [metrics.value(day, "ingest", "rows", kind, metric) for kind in ("events", "items")]
        return sum(n or 0 for n in counts) if any(n is not None for n in counts) else None

    rows: list[Row] = [
        {"day": day} | {metric: count(day, metric) for metric in ("rows_in", *ROW_FATES)} for day in metrics.days
    ]
    rows = [row for row in rows if row["rows_in"] is not None]
    has_conflicts = any(row["rows_conflicting"] for row in rows)
    fates = {metric: name for metric, name in ROW_FATES.items() if has_conflicts or metric != "rows_conflicting"}
    parts = [Series(name, [row[metric] for row in rows], colour=FATE_COLOURS[metric]) for metric, name in fates.items()]
    return {"rows": rows, "fates": fates, "plot": plot_bars("What became of rows, day by day", day_labels(rows), parts)}
