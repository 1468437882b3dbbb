"""Measures models on a day's test rows: scores, slices, metrics with intervals, differences between models."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import pyarrow.dataset as ds
from numpy.typing import NDArray

from jobs.lake import Lake, UserError
from jobs.lake.metrics import metric_rows
from jobs.ranking.as_served import limit_to_served
from jobs.ranking.dataset import Dataset, Rows, apply_settings
from jobs.ranking.items import load_item_features
from jobs.ranking.model_inputs import build_model_inputs, build_search, search_vectors, select_histories
from jobs.release.model_store import load_card, load_model
from jobs.release.settings import SLICE_OF, EvaluationProtocol
from jobs.settings.tree import Settings
from models import bootstrap, metrics
from models.ranker.histories import Ints
from models.ranker.model import Ranker
from models.ranker.prediction import predict

METRICS = {"auc": metrics.auc, "uauc": metrics.uauc, "gauc": metrics.gauc,
           "log_loss": metrics.log_loss, "calibration": metrics.calibration}  # fmt: skip
HISTORY_LENGTHS = {
    "history_0": (0, 0),
    "history_1_9": (1, 9),
    "history_10_99": (10, 99),
    "history_100_up": (100, 1 << 40),
}
SEARCHED_ROWS = 2000  # largest number of rows for which two searches are compared
Floats = NDArray[np.floating]


class Slice(NamedTuple):
    """Which rows [rows] are measured, by the label of which task, and what the model knew."""

    is_inside: NDArray[np.bool_]
    task: int
    protocol: EvaluationProtocol = "up_to_the_moment"


class ScoredModel(NamedTuple):
    """A model with its scores [rows, tasks of the day] by what it knew of the rows.

    up_to_the_moment  all that happened before each row
    as_served         nothing of the day itself, as the lists that users get
    """

    model: Ranker
    version: str
    scores: Mapping[EvaluationProtocol, Floats]


def find_trained_version(lake: Lake, settings: Settings, day: date) -> str | None:
    """The version that train made for this day, None if it made none.

    raises  UserError if train used other settings
    """
    where = (ds.field("day") == day) & (ds.field("job") == "train")
    versions = set(lake.arrow("gold.metrics", ["version"], where)["version"].to_pylist())
    matching = [version for version in versions if version and version.startswith(f"{day}-{settings.hash}-")]
    if versions and not matching:
        raise UserError(f"{day} was trained with other settings: run train of this day again first")
    return matching[0] if matching else None


def score_model(
    lake: Lake, settings: Settings, day: date, dataset: Dataset, encoder_version: str, uri: str
) -> ScoredModel:
    """A stored model and its scores of the test rows, with the inputs that it was trained with and would serve with.

    encoder_version  of the dataset's items
    """
    card = load_card(lake, uri)
    model_settings = card.apply_to(settings)
    if model_settings != settings or card.encoder_version != encoder_version:
        items = load_item_features(lake, model_settings, card.encoder_version, card.codebook_version)
        dataset = replace(dataset, items=items)
    if model_settings != settings:
        dataset = apply_settings(lake, model_settings, dataset, day)
    model = load_model(lake, uri, dataset.items)
    datasets: dict[EvaluationProtocol, Dataset] = {
        "up_to_the_moment": dataset,
        "as_served": limit_to_served(dataset, day),
    }
    scores = {protocol: score_test_rows(known, model_settings, model) for protocol, known in datasets.items()}
    return ScoredModel(model, card.model_version, scores)


def score_test_rows(dataset: Dataset, settings: Settings, model: Ranker) -> Floats:
    """Probabilities [rows, tasks of the day], NaN for tasks that the model lacks.

    If it lacks the day's main task, it is measured by its own main task instead.
    """
    vectors = search_vectors(model, dataset.items)
    rows = build_model_inputs(dataset, dataset.test, settings, model.design, vectors=vectors, task=model.tasks[0])
    predicted = predict(model, rows)
    scores = np.full((len(predicted), len(dataset.tasks)), np.nan)
    scores[:, 0] = predicted[:, 0]
    for column, task in enumerate(dataset.tasks):
        if task in model.tasks:
            scores[:, column] = predicted[:, model.tasks.index(task)]
    return scores


def share_missed_by_id_search(dataset: Dataset, settings: Settings, challenger: Ranker, din: Ranker) -> float:
    """Of the events that the challenger's search finds, the share that a search by DIN's ID embeddings misses.

    Only rows with more events than a search finds are compared. NaN if there are none, or if the challenger itself
    searches by ID embeddings.
    """
    design = replace(challenger.design, latest=0)
    histories, end = select_histories(dataset, dataset.test, design)
    longer = np.flatnonzero(histories.lengths(dataset.test.user, end) > sum(design.ks))
    if not len(longer) or design.search == "id_embedding":
        return float("nan")
    sampled = longer[np.linspace(0, len(longer) - 1, min(SEARCHED_ROWS, len(longer))).astype(np.int64)]
    rows, id_design = dataset.test.take(sampled), replace(design, search="id_embedding")
    search_by_item = build_search(dataset.items, settings, design, search_vectors(challenger, dataset.items))
    search_by_id = build_search(dataset.items, settings, id_design, din.id_directions())
    by_item, by_id = (
        search(histories, rows.user, rows.target, end[sampled]).events for search in (search_by_item, search_by_id)
    )
    is_shared = [np.isin(a[a >= 0], b) for a, b in zip(by_item, by_id, strict=True)]
    return float(1 - np.concatenate(is_shared).mean())


def build_slices(dataset: Dataset, challenger: Ranker) -> dict[str, Slice]:
    """Slices of the test rows by name: the main task overall and in parts, and the other tasks overall.

    The models know what happened up to the moment of each row, but for the slice `as_served`.
    """
    rows = dataset.test
    is_cold = ~challenger.known.cpu().numpy()[rows.target]
    parts = {"all": np.ones(len(rows), bool), "cold_items": is_cold, "known_items": ~is_cold}
    parts |= {name: (rows.length >= low) & (rows.length <= high) for name, (low, high) in HISTORY_LENGTHS.items()}
    decile = popularity_deciles(rows.target, np.bincount(dataset.train.target, minlength=len(dataset.items.ids)))
    parts |= {f"popularity_{number + 1}": decile == number for number in range(10)}
    slices = {name: Slice(is_inside, 0) for name, is_inside in parts.items()}
    other_tasks = {task: Slice(parts["all"], column) for column, task in enumerate(dataset.tasks) if column}
    return slices | {SLICE_OF["as_served"]: Slice(parts["all"], 0, "as_served")} | other_tasks


def popularity_deciles(target: Ints, counts: Ints) -> Ints:
    """The tenth, 0 to 9, of each row [rows] when rows are ordered by how often their item occurred in training.

    The rows of an item stay together, in the tenth in which they end. So the most popular item is in the last tenth if
    there are ten rows or more, and some tenths may be empty.

    counts  [items] how often each item occurred
    """
    items, inverse, rows = np.unique(target, return_inverse=True, return_counts=True)
    order = np.lexsort((items, counts[items]))
    end = np.empty(len(items))
    end[order] = rows[order].cumsum()
    return (10 * (end - 1) / max(len(target), 1)).astype(np.int64)[inverse]


def measure_model(
    name: str, scored: ScoredModel, dataset: Dataset, slices: dict[str, Slice], settings: Settings
) -> list[dict[str, Any]]:
    """Rows for gold.metrics: all metrics of a model in all slices whose task it has."""
    rows, measured = dataset.test, list[dict[str, Any]]()
    for slice_name, (is_inside, task, protocol) in slices.items():
        if task and dataset.tasks[task] not in scored.model.tasks:
            continue
        labels, user = rows.labels[is_inside, task], rows.user[is_inside]
        scores = scored.scores[protocol][is_inside, task]
        results = bootstrap.measure(METRICS, labels, scores, user, seed=0, rounds=settings.gate.bootstrap_rounds)
        known = int(np.isfinite(labels).sum())
        measured += _metric_rows(name, slice_name, results, rows=known, version=scored.version)
    return measured


def measure_difference(
    challenger: ScoredModel, other: ScoredModel, other_name: str, rows: Rows, settings: Settings
) -> list[dict[str, Any]]:
    """Rows for gold.metrics: the challenger's AUC, GAUC and log loss minus another model's, by each protocol."""
    labels, compared = rows.labels[:, 0], {metric: METRICS[metric] for metric in ("auc", "gauc", "log_loss")}
    known, measured = int(np.isfinite(labels).sum()), list[dict[str, Any]]()
    for protocol, slice_name in SLICE_OF.items():
        scores = challenger.scores[protocol][:, 0], other.scores[protocol][:, 0]
        results = bootstrap.measure_difference(
            compared, labels, *scores, rows.user, seed=0, rounds=settings.gate.bootstrap_rounds
        )
        measured += _metric_rows(f"challenger_minus_{other_name}", slice_name, results, rows=known)
    return measured


def _metric_rows(
    name: str, slice_name: str, results: dict[str, bootstrap.Measured], **more: Any
) -> list[dict[str, Any]]:
    values = {metric: result.value for metric, result in results.items()}
    intervals = {metric: result.interval for metric, result in results.items()}
    return metric_rows(name, slice_name, values, intervals=intervals, **more)
