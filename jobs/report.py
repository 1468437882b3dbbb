"""Write one self-contained page about a day's run: what was decided and the numbers behind it.

    python -m jobs.report --day 2026-11-20 [--data landing]

Reads gold.metrics, gold.releases, ops.runs and the rows behind them. Writes <LAKE>/reports/<day>.html.
With --data (or DATA), <data>/truth.json of a simulated log tells the best AUC that any model could reach.
"""

import argparse
import os
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import jinja2

from jobs.lake import JobResult, Lake
from jobs.release.releases import live
from jobs.reporting import codes as of_codes
from jobs.reporting import data as read
from jobs.reporting.explorer import explorer
from jobs.reporting.plots import Series, bars, lines
from jobs.reporting.publishing import data_docs_link, publish
from jobs.reporting.text import FILTERS, headline
from jobs.runtime.entry import main
from jobs.settings.tree import Settings

MODELS = {"champion": "champion", "challenger": "challenger", "din": "DIN"}
MEASURES = ("auc", "uauc", "gauc", "log_loss", "calibration")
SLICES = {
    "all": "all rows", "known_items": "known items", "cold_items": "cold items", "history_0": "no history",
    "history_1_9": "history 1 to 9", "history_10_99": "history 10 to 99",
    "history_100_up": "history from 100", "popularity_1": "rarest items",
    "popularity_10": "most frequent items",
    "click": "clicks", "purchase": "purchases", "like": "likes",
}  # fmt: skip
LISTS = {"live": "lists of the day before", "popular": "most popular items"}
RANKED = ("hit_rate_at_10", "hit_rate_at_20", "ndcg_at_10", "ndcg_at_20")
FATES = {"rows_out": "kept", "rows_duplicate": "duplicate", "rows_rejected": "rejected"}


def run(lake: Lake, settings: Settings, day: date, data: str = "") -> JobResult:
    html = page(lake, settings, day, read.best_reachable(data))
    if version := of_codes.codebook(read.metrics_until(lake, day), day, read.decision(lake, day)):
        publish(lake, f"{day}-codes", explorer(lake, version, day))
    return JobResult(rows_out=1, notes={"report": publish(lake, str(day), html)})


def page(lake: Lake, settings: Settings, day: date, truth: dict[str, dict[str, float]]) -> str:
    metrics = read.metrics_until(lake, day)
    decision = read.decision(lake, day)
    runs = read.newest_runs(lake, day)
    checks = [row for job in ("ingest", "pairs") for row in metrics.of(day, job, "checks")]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "reporting/templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS
    return environment.get_template("report.html.j2").render(
        day=day,
        headline=headline(metrics, decision, live(lake), day),
        live=live(lake, before=str(day + timedelta(days=1))),
        runs=list(runs.values()),
        numbers=_key_numbers(metrics, day, sum(row["seconds"] for row in runs.values())),
        docs=data_docs_link(lake),
        auc=_auc(metrics, truth),
        training=_training(metrics, day),
        fates=_fates(metrics),
        rejects=read.rejects(lake, day),
        failed=[row for row in checks if row["value"] != 1],
        checked=len(checks),
        codes=of_codes.codes(lake, metrics, day, decision),
        health=of_codes.health(metrics, day),
        refits=of_codes.refits(metrics),
        collisions=of_codes.collisions(metrics),
        slices=_slices(metrics, day),
        measures=MEASURES,
        missed=metrics.value(day, "evaluate", "challenger", "all", "missed_by_id_search"),
        lists=_lists(metrics, day),
        ranked=RANKED,
        pairs=read.judged_pairs(lake, day),
        encoders=read.encoders(lake, day),
        users=read.sample_users(lake, day, settings.recommend.active_days),
    )


def _key_numbers(metrics: read.Metrics, day: date, seconds: float) -> list[tuple[str, float | None, str]]:
    """Label, value and the filter that writes it."""
    compared = ("evaluate", "challenger_minus_champion", "all", "auc")
    shown: list[tuple[str, float | None, str]] = [
        (f"events {name}", metrics.value(day, "ingest", "rows", "events", metric), "whole")
        for metric, name in ({"rows_in": "in"} | {m: n for m, n in FATES.items() if m != "rows_out"}).items()
    ]
    return [
        *shown,
        ("items embedded", metrics.value(day, "embed", "encoder", "all", "items_embedded"), "whole"),
        ("collision rate", metrics.value(day, "quantize", "codebook", "all", "collision_rate"), "percent"),
        *((f"AUC {n}", metrics.value(day, "evaluate", m, "all", "auc"), "four") for m, n in MODELS.items()),
        ("AUC challenger less champion", metrics.value(day, *compared), "signed"),
        *(
            (f"hit rate at 10, {name}", metrics.value(day, "evaluate", model, "all", "hit_rate_at_10"), "percent")
            for model, name in LISTS.items()
        ),
        ("seconds", seconds or None, "whole"),
    ]


def _auc(metrics: read.Metrics, truth: dict[str, dict[str, float]]) -> dict[str, Any]:
    rows: list[dict[str, Any]] = [
        {"day": day}
        | {key: truth.get(str(day), {}).get(key) for key in ("best_auc", "best_auc_without_position")}
        | {model: metrics.row(day, "evaluate", model, "all", "auc") for model in MODELS}
        for day in metrics.days
    ]
    rows = [row for row in rows if any(row[model] for model in MODELS)]

    def column(model: str, key: str) -> list[float | None]:
        return [row[model] and row[model][key] for row in rows]

    series = [
        Series(name, column(model, "value"), column(model, "ci_low"), column(model, "ci_high"), place)
        for place, (model, name) in enumerate(MODELS.items())
    ]
    series.append(Series("best reachable", [row["best_auc"] for row in rows], colour=3, dashed=True))
    names = [f"{row['day']:%b %-d}" for row in rows]
    return {"rows": rows, "plot": lines("AUC over days", names, series, 3.0) if rows else ""}


def _training(metrics: read.Metrics, day: date) -> dict[str, Any]:
    found = {
        (model, int(row["slice"].removeprefix("epoch_")), row["metric"]): row["value"]
        for model in ("challenger", "din")
        for row in metrics.of(day, "train", model)
        if row["slice"].startswith("epoch_")
    }
    epochs = sorted({epoch for _, epoch, _ in found})
    names = [str(epoch) for epoch in epochs]

    def plot(title: str, metric: str) -> str:
        series = [
            Series(MODELS[model], [found.get((model, epoch, metric)) for epoch in epochs], colour=1 + place)
            for place, model in enumerate(("challenger", "din"))
        ]
        return lines(title, names, series, 2.2)

    curves = [("train_loss", "training loss per epoch"), ("valid_auc", "AUC on validation rows per epoch")]
    plots = [(title, plot(title, metric)) for metric, title in curves] if epochs else []
    design = "; ".join(metrics.told(day, "train", "design"))
    return {"epochs": epochs, "found": found, "plots": plots, "design": design}


def _fates(metrics: read.Metrics) -> dict[str, Any]:
    def fate(day: date, metric: str) -> float | None:
        found = [metrics.value(day, "ingest", "rows", kind, metric) for kind in ("events", "items")]
        return sum(value or 0 for value in found) if any(value is not None for value in found) else None

    rows: list[dict[str, Any]] = [{"day": day} | {m: fate(day, m) for m in ("rows_in", *FATES)} for day in metrics.days]
    rows = [row for row in rows if row["rows_in"] is not None]
    colours = dict(zip(FATES, (0, 3, 1), strict=True))
    parts = [Series(name, [row[m] for row in rows], colour=colours[m]) for m, name in FATES.items()]
    names = [f"{row['day']:%b %-d}" for row in rows]
    return {"rows": rows, "plot": bars("rows by fate", names, parts) if rows else ""}


def _slices(metrics: read.Metrics, day: date) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for slice_, name in SLICES.items():
        for model, label in MODELS.items():
            found = {m: metrics.rows.get((day, "evaluate", model, slice_, m)) for m in MEASURES}
            if any(found.values()):
                counted = next(row["rows"] for row in found.values() if row)
                rows.append({"slice": name, "model": label, "rows": counted, **found})
    return rows


def _lists(metrics: read.Metrics, day: date) -> list[dict[str, Any]]:
    """How well what was recommended the day before, and what is popular, met the day."""
    found = {model: {m: metrics.row(day, "evaluate", model, "all", m) for m in RANKED} for model in LISTS}
    return [
        {"name": name, "rows": told[0]["rows"], **{m: row and row["value"] for m, row in found[model].items()}}
        for model, name in LISTS.items()
        if (told := [row for row in found[model].values() if row])
    ]


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", default=os.environ.get("DATA", ""), help="the landing folder; default DATA")


if __name__ == "__main__":
    main(run, _arguments)
