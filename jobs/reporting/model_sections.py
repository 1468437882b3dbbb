"""Sections of the report about the models: AUC over days, training, metrics by slice, hits of the lists."""

from datetime import date
from typing import Any

from jobs.release.settings import SLICE_OF
from jobs.reporting.metrics import Metrics, Row
from jobs.reporting.plots import Series, day_labels, plot_lines

MODELS = {"champion": "champion", "challenger": "challenger", "din": "DIN"}
TRAINED = ("challenger", "din")
METRICS = ("auc", "uauc", "gauc", "log_loss", "calibration")
SLICES = {
    "as_served": "all rows, as served", "all": "all rows",
    "known_items": "known items", "cold_items": "cold items", "history_0": "no history",
    "history_1_9": "1 to 9 past events", "history_10_99": "10 to 99 past events",
    "history_100_up": "100+ past events", "popularity_1": "rarest items",
    "popularity_10": "most frequent items",
    "click": "clicks", "purchase": "purchases", "like": "likes",
}  # fmt: skip
AS_SERVED = SLICE_OF["as_served"]
LISTS = {"live": "lists of the day before", "popular": "most popular items"}
SOURCES = {
    "pairs": "judged pairs", "neighbours": "neighbours", "graph": "item graph", "generator": "trained generator",
    "popular": "popular items",
}  # fmt: skip
LIST_METRICS = ("hit_rate_at_10", "hit_rate_at_20", "ndcg_at_10", "ndcg_at_20")


def auc_by_day(metrics: Metrics, best_auc: dict[str, dict[str, float]]) -> dict[str, Any]:
    """A plot and rows of the models' AUC as served, beside the best possible AUC of each day where it is known."""
    rows: list[Row] = [
        {"day": day}
        | {key: best_auc.get(str(day), {}).get(key) for key in ("best_auc", "best_auc_without_position")}
        | {model: metrics.row(day, "evaluate", model, AS_SERVED, "auc") for model in MODELS}
        for day in metrics.days
    ]
    rows = [row for row in rows if any(row[model] for model in MODELS)]

    def column(model: str, key: str) -> list[float | None]:
        return [row[model] and row[model][key] for row in rows]

    series = [
        Series(name, column(model, "value"), column(model, "ci_low"), column(model, "ci_high"), colour)
        for colour, (model, name) in enumerate(MODELS.items())
    ]
    series.append(Series("best possible", [row["best_auc"] for row in rows], colour=3, dashed=True))
    return {"rows": rows, "plot": plot_lines("AUC of the models as served, day by day", day_labels(rows), series, 3.0)}


def training_curves(metrics: Metrics, day: date) -> dict[str, Any]:
    """Plots and values of loss and validation AUC after each epoch, and the design of the challenger."""
    by_epoch = {
        (model, int(row["slice"].removeprefix("epoch_")), row["metric"]): row["value"]
        for model in TRAINED
        for row in metrics.rows_of(day, "train", model)
        if row["slice"].startswith("epoch_")
    }
    epochs = sorted({epoch for _, epoch, _ in by_epoch})

    def plot(title: str, metric: str) -> str:
        series = [
            Series(MODELS[model], [by_epoch.get((model, epoch, metric)) for epoch in epochs], colour=colour)
            for colour, model in enumerate(TRAINED, start=1)
        ]
        return plot_lines(title, [str(epoch) for epoch in epochs], series, 2.2)

    titles = {
        "train_loss": "Training loss after each epoch",
        "valid_auc": "AUC on the validation rows after each epoch",
    }
    plots = [(title, plot(title, metric)) for metric, title in titles.items()]
    design = "; ".join(metrics.texts(day, "train", "design"))
    return {"epochs": epochs, "by_epoch": by_epoch, "plots": plots, "design": design}


def metrics_by_slice(metrics: Metrics, day: date) -> list[Row]:
    """A row for each slice and model."""
    table: list[Row] = []
    for slice_, slice_name in SLICES.items():
        for model, model_name in MODELS.items():
            rows = {metric: metrics.rows.get((day, "evaluate", model, slice_, metric)) for metric in METRICS}
            if any(rows.values()):
                row_count = next(row["rows"] for row in rows.values() if row)
                table.append({"slice": slice_name, "model": model_name, "rows": row_count, **rows})
    return table


def list_hits(metrics: Metrics, day: date) -> list[Row]:
    """How many of the items that users acted on were in the lists of the day before, and among the popular items."""
    table: list[Row] = []
    for model, name in LISTS.items():
        rows = {metric: metrics.row(day, "evaluate", model, "all", metric) for metric in LIST_METRICS}
        if any(rows.values()):
            row_count = next(row["rows"] for row in rows.values() if row)
            table.append({"name": name, "rows": row_count, **{m: row and row["value"] for m, row in rows.items()}})
    return table


def source_hits(metrics: Metrics, day: date) -> list[Row]:
    """How many of the items that users acted on each source of candidates had found the day before."""
    table: list[Row] = []
    for source, name in SOURCES.items():
        row = {key: metrics.value(day, "evaluate", source, "sources", key) for key in ("hit_rate", "hit_rate_alone")}
        row |= {key: metrics.value(day, "generate", source, "all", key) for key in ("hit_rate_at_10", "hit_rate_at_50")}
        if any(value is not None for value in row.values()):
            table.append({"name": name, **row})
    return table
