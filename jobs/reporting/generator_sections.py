"""Sections of the report about items found ahead of time: hit rates over days, and the generator's training."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from jobs.reporting.metrics import Metrics, Row
from jobs.reporting.model_sections import SOURCES
from jobs.reporting.plots import Series, day_labels, plot_lines

FOUND_BY = {source: SOURCES[source] for source in ("graph", "generator", "popular")}
# What is measured of an epoch: a language model has a validation loss, the other generators recall and NDCG.
MEASURED = {"train_loss": "loss", "valid_loss": "validation loss", "recall_at_10": "recall at 10",
            "ndcg_at_10": "NDCG at 10"}  # fmt: skip
RATES = ("hit_rate_at_10", "hit_rate_at_50")


def hit_rates_by_day(metrics: Metrics) -> dict[str, Any]:
    """A plot and rows of how many of the items that users acted on for the first time each source had found."""
    rows: list[Row] = [
        {"day": day, "source": source, "name": name}
        | {metric: metrics.value(day, "generate", source, "all", metric) for metric in RATES}
        for day in metrics.days
        for source, name in FOUND_BY.items()
    ]
    rows = [row for row in rows if any(row[metric] is not None for metric in RATES)]
    days = [{"day": day} for day in sorted({row["day"] for row in rows})]
    by_source = {(row["day"], row["source"]): row["hit_rate_at_10"] for row in rows}
    series = [
        Series(name, [by_source.get((row["day"], source)) for row in days], colour=colour)
        for colour, (source, name) in enumerate(FOUND_BY.items())
    ]
    plot = plot_lines("Hit rate at 10 of each source, day by day", day_labels(days), series, 2.4, percent=True)
    return {"rows": rows, "plot": plot}


def generator_training(metrics: Metrics, day: date) -> dict[str, Any]:
    """Plots and values of the generator's epochs, how it compared with the graph, and why it did not go live, if so."""
    measured = metrics.rows_of(day, "generate", "generator")
    by_epoch = {
        (int(row["slice"].removeprefix("epoch_")), row["metric"]): row["value"]
        for row in measured
        if row["slice"].startswith("epoch_")
    }
    epochs = sorted({epoch for epoch, _ in by_epoch})
    columns = {metric: name for metric, name in MEASURED.items() if any(key == metric for _, key in by_epoch)}

    def plot(title: str, metrics: Sequence[str]) -> str:
        series = [
            Series(MEASURED[metric], [by_epoch.get((epoch, metric)) for epoch in epochs], colour=colour)
            for colour, metric in enumerate(metrics)
        ]
        return plot_lines(title, [str(epoch) for epoch in epochs], series, 2.2)

    curves = {
        "Training loss after each epoch": ["train_loss"],
        "Validation loss after each epoch": ["valid_loss"],
        "Recall and NDCG at 10 after each epoch": ["recall_at_10", "ndcg_at_10"],
    }
    refused = [row["metric"] for row in measured if row["slice"] == "refused"]
    compared = next((row["metric"] for row in measured if row["slice"] == "gate"), "")  # hit_rate_at_<length of a list>
    rates = {source: metrics.row(day, "generate", source, "gate", compared) for source in (*FOUND_BY, "live_generator")}
    return {
        "epochs": epochs,
        "by_epoch": by_epoch,
        "columns": columns,
        "plots": [(title, plot(title, names)) for title, names in curves.items() if names[0] in columns],
        "refused": "; ".join(refused),
        "rates": rates if rates["generator"] else None,
        "compared_items": compared.removeprefix("hit_rate_at_"),
    }
