"""Judge challenger, champion and DIN on the same rows: the day that none of them was trained on.

    python -m jobs.evaluate --day 2026-11-20

Reads what train reads, the models, and gold.recommendations. Writes gold.metrics: AUC, UAUC, GAUC, log loss and
calibration with bootstrap intervals (users drawn again), over all rows, by slice and of the other labels; the
differences of AUC and GAUC; what share of the events found a search by ID embeddings misses; hit rate and NDCG of what
was recommended the day before, beside the most popular items.
"""

import sys
from dataclasses import replace
from datetime import date
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow.dataset as ds
from numpy.typing import NDArray

from jobs.lake import JobResult, Lake, UserError
from jobs.lake.metrics import metric_rows, replace_metrics
from jobs.ranking import list_hits as morning
from jobs.ranking.dataset import Dataset, Rows, histories_for, load_dataset, looked_at, retold, search_of, searched
from jobs.ranking.items import load_item_features
from jobs.release.gate import past
from jobs.release.model_store import load_card, load_model
from jobs.release.releases import live
from jobs.runtime.entry import main
from jobs.settings.tree import Settings
from models import metrics
from models.ranker.model import Ranker
from models.ranker.training import predict

METRICS = {"auc": metrics.auc, "uauc": metrics.uauc, "gauc": metrics.gauc,
           "log_loss": metrics.log_loss, "calibration": metrics.calibration}  # fmt: skip
HISTORY = {
    "history_0": (0, 0),
    "history_1_9": (1, 9),
    "history_10_99": (10, 99),
    "history_100_up": (100, 1 << 40),
}
SEARCHED = 2000  # rows that a second search is made for
Floats = NDArray[np.floating]
Ints = NDArray[np.integer]


class Slice(NamedTuple):
    inside: NDArray[np.bool_]  # [rows]
    task: int  # which label


class Judged(NamedTuple):
    model: Ranker
    version: str
    scores: Floats  # [rows, tasks of the day]


def run(lake: Lake, settings: Settings, day: date) -> JobResult:
    if why := past(lake, day):
        return JobResult(notes={"skipped": why})
    version = trained(lake, settings, day)
    if version is None:
        replace_metrics(lake, "evaluate", day, morning.measured(lake, settings, day))
        return JobResult(notes={"skipped": "nothing was trained for this day"})
    uri = f"models/{version}"
    card = load_card(lake, f"{uri}/challenger")
    catalogue = load_item_features(lake, settings, card.encoder_version, card.codebook_version)
    data = load_dataset(lake, settings, catalogue, day)
    judge = partial(_judged, lake, settings, day, data, card.encoder_version)
    judged = {name: judge(f"{uri}/{name}") for name in ("challenger", "din")}
    if champion := live(lake, before=str(day)):
        try:
            judged["champion"] = judge(str(champion["model_uri"]))
        except UserError as error:
            print(f"warning: the champion is not compared: {error}", file=sys.stderr, flush=True)
    challenger, din = judged["challenger"], judged["din"]
    slices = _slices(data, challenger.model)
    rows = []
    for name, one in judged.items():
        own = {key: part for key, part in slices.items() if not part.task or data.tasks[part.task] in one.model.tasks}
        rows += _measure(name, one, data.test, own, settings)
    missed = {"missed_by_id_search": _missed_by_ids(data, settings, challenger.model, din.model)}
    rows += metric_rows("challenger", "all", missed, version=version)
    for name in judged.keys() - {"challenger"}:
        rows += _difference(challenger.scores[:, 0], judged[name].scores[:, 0], name, data.test, settings)
    replace_metrics(lake, "evaluate", day, rows + morning.measured(lake, settings, day))
    auc = {r["model"]: r["value"] for r in rows if r["slice"] == "all" and r["metric"] == "auc"}
    return JobResult(len(data.test), len(data.test), notes={"auc": auc, "model_version": version})


def _judged(lake: Lake, settings: Settings, day: date, data: Dataset, encoder_version: str, uri: str) -> Judged:
    """A model and its scores of the day's rows, told what it was trained with, as whoever it serves."""
    card = load_card(lake, uri)
    own = card.settings(settings)
    if own != settings or card.encoder_version != encoder_version:
        catalogue = load_item_features(lake, own, card.encoder_version, card.codebook_version)
        data = replace(data, catalogue=catalogue)
    if own != settings:
        data = retold(lake, own, data, day)
    model = load_model(lake, uri, data.catalogue)
    return Judged(model, card.model_version, _scores(data, own, model))


def trained(lake: Lake, settings: Settings, day: date) -> str | None:
    """The version that train made for this day, None if it made none.

    raises  UserError if it made one with other settings
    """
    where = (ds.field("day") == day) & (ds.field("job") == "train")
    versions = set(lake.arrow("gold.metrics", ["version"], where)["version"].to_pylist())
    mine = [version for version in versions if version and version.startswith(f"{day}-{settings.hash}-")]
    if versions and not mine:
        raise UserError(f"{day} was trained with other settings than these: run train of this day again first")
    return mine[0] if mine else None


def _scores(data: Dataset, settings: Settings, model: Ranker) -> Floats:
    """Probabilities [rows, tasks of the day]: of the first, or of the first that the model has; NaN of others."""
    vectors = looked_at(model, data.catalogue)
    rows = searched(data, data.test, settings, model.design, vectors=vectors, task=model.tasks[0])
    predicted = predict(model, rows)
    found = np.full((len(predicted), len(data.tasks)), np.nan)
    found[:, 0] = predicted[:, 0]
    for place, task in enumerate(data.tasks):
        if task in model.tasks:
            found[:, place] = predicted[:, model.tasks.index(task)]
    return found


def _missed_by_ids(data: Dataset, settings: Settings, challenger: Ranker, din: Ranker) -> float:
    """Share of the events that the challenger's search finds which a search by DIN's ID embeddings does not find.

    Of rows whose histories are longer than what a search may find.
    """
    design = challenger.design
    histories, end = histories_for(data, data.test, design)
    longer = np.flatnonzero(histories.lengths(data.test.user, end) > sum(design.ks))
    if not len(longer) or design.search == "id_embedding":
        return float("nan")
    some = longer[np.linspace(0, len(longer) - 1, min(SEARCHED, len(longer))).astype(np.int64)]
    rows, by_ids = data.test.take(some), replace(design, search="id_embedding")
    of_items = search_of(data.catalogue, settings, design, looked_at(challenger, data.catalogue))
    of_ids = search_of(data.catalogue, settings, by_ids, din.id_directions())
    by_item, by_id = (search(histories, rows.user, rows.target, end[some]).events for search in (of_items, of_ids))
    found = [np.isin(a[a >= 0], b) for a, b in zip(by_item, by_id, strict=True)]
    return float(1 - np.concatenate(found).mean())


def _slices(data: Dataset, challenger: Ranker) -> dict[str, Slice]:
    rows = data.test
    cold = ~challenger.known.cpu().numpy()[rows.target]
    parts = {"all": np.ones(len(rows), bool), "cold_items": cold, "known_items": ~cold}
    parts |= {name: (rows.length >= low) & (rows.length <= high) for name, (low, high) in HISTORY.items()}
    tenth = tenths(rows.target, np.bincount(data.train.target, minlength=len(data.catalogue.ids)))
    parts |= {f"popularity_{one + 1}": tenth == one for one in range(10)}
    found = {name: Slice(inside, 0) for name, inside in parts.items()}
    return found | {task: Slice(parts["all"], place) for place, task in enumerate(data.tasks) if place}


def tenths(target: Ints, seen: Ints) -> Ints:
    """Which tenth of the rows each row [rows] is in, 0 to 9, by how often its item was seen.

    An item stays whole, in the tenth where it ends: of ten rows and more the most frequent one is in the last, and
    tenths may be empty.
    """
    items, inverse, rows = np.unique(target, return_inverse=True, return_counts=True)
    order = np.lexsort((items, seen[items]))
    end = np.empty(len(items))
    end[order] = rows[order].cumsum()
    return (10 * (end - 1) / max(len(target), 1)).astype(np.int64)[inverse]


def _measure(
    name: str, one: Judged, rows: Rows, slices: dict[str, Slice], settings: Settings
) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for slice_, (inside, task) in slices.items():
        y, s, user = rows.labels[inside, task], one.scores[inside, task], rows.user[inside]
        values = {metric: measure(y, s, user) for metric, measure in METRICS.items()}
        intervals = metrics.bootstrap(METRICS, y, s, user, seed=0, rounds=settings.gate.bootstrap_rounds)
        known = int(np.isfinite(y).sum())
        found += metric_rows(name, slice_, values, intervals=intervals, rows=known, version=one.version)
    return found


def _difference(a: Floats, b: Floats, other: str, rows: Rows, settings: Settings) -> list[dict[str, object]]:
    labels, compared = rows.labels[:, 0], {metric: METRICS[metric] for metric in ("auc", "gauc")}
    rounds = settings.gate.bootstrap_rounds
    values = {name: of(labels, a, rows.user) - of(labels, b, rows.user) for name, of in compared.items()}
    intervals = metrics.bootstrap_difference(compared, labels, a, b, rows.user, seed=0, rounds=rounds)
    known = int(np.isfinite(labels).sum())
    return metric_rows(f"challenger_minus_{other}", "all", values, intervals=intervals, rows=known)


if __name__ == "__main__":
    main(run)
