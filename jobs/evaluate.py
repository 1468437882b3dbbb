"""Judge challenger, champion and DIN on the same rows: the day that none of them was trained on.

    python -m jobs.evaluate --day 2026-11-20

Reads what train reads, and the models. Writes gold.metrics: AUC, UAUC, GAUC, log loss and calibration with
bootstrap intervals (users drawn again), over all rows and by slice, and the differences of AUC.
"""

from datetime import date

import numpy as np
import pyarrow.dataset as ds
from numpy.typing import NDArray

from jobs.dataset import Dataset, Rows, load_catalogue, load_dataset, searched
from jobs.lake import Lake, UserError, Written
from jobs.lake.entry import main
from jobs.metrics import metric_rows, write_metrics
from jobs.model_store import live, load_card, load_model
from jobs.settings import Settings
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
Floats = NDArray[np.floating]


def run(lake: Lake, settings: Settings, day: date) -> Written:
    version = trained(lake, settings, day)
    if version is None:
        write_metrics(lake, "evaluate", day, [])
        return Written(notes={"skipped": "nothing was trained for this day"})
    uri = f"models/{version}"
    card = load_card(lake, f"{uri}/challenger")
    catalogue = load_catalogue(lake, settings, card.encoder_version, card.codebook_version)
    data = load_dataset(lake, settings, catalogue, day)
    models = {"challenger": f"{uri}/challenger", "din": f"{uri}/din"}
    champion = live(lake, before=str(day))
    if champion:
        models["champion"] = str(champion["model_uri"])
    loaded = {name: load_model(lake, where, catalogue) for name, where in models.items()}
    versions = {name: load_card(lake, where).model_version for name, where in models.items()}
    scores = {name: _scores(data, settings, model) for name, model in loaded.items()}
    slices = _slices(data.test, loaded["challenger"])
    rows = [r for name in scores for r in _measure(name, versions[name], scores[name], data.test, slices, settings)]
    for other in scores.keys() - {"challenger"}:
        rows += _difference(scores["challenger"], scores[other], other, data.test, settings)
    write_metrics(lake, "evaluate", day, rows)
    auc = {r["model"]: r["value"] for r in rows if r["slice"] == "all" and r["metric"] == "auc"}
    return Written(len(data.test), len(data.test), notes={"auc": auc, "model_version": version})


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
    """Probability of the main label, the first task of the day, that the model has."""
    task = model.tasks.index(data.tasks[0]) if data.tasks[0] in model.tasks else 0
    return predict(model, searched(data, data.test, settings, model.design))[:, task]


def _slices(rows: Rows, challenger: Ranker) -> dict[str, NDArray[np.bool_]]:
    cold = ~challenger.known.cpu().numpy()[rows.target]
    found = {"all": np.ones(len(rows), bool), "cold_items": cold, "known_items": ~cold}
    return found | {name: (rows.length >= low) & (rows.length <= high) for name, (low, high) in HISTORY.items()}


def _measure(
    name: str,
    version: str,
    scores: Floats,
    rows: Rows,
    slices: dict[str, NDArray[np.bool_]],
    settings: Settings,
) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    labels = rows.labels[:, 0]
    for slice_, inside in slices.items():
        y, s, user = labels[inside], scores[inside], rows.user[inside]
        values = {metric: measure(y, s, user) for metric, measure in METRICS.items()}
        intervals = {}
        if slice_ == "all":
            for metric in ("auc", "uauc", "gauc"):
                rounds = settings.gate.bootstrap_rounds
                intervals[metric] = metrics.bootstrap(METRICS[metric], y, s, user, seed=0, rounds=rounds)
        found += metric_rows(name, slice_, values, intervals=intervals, rows=int(inside.sum()), version=version)
    return found


def _difference(a: Floats, b: Floats, other: str, rows: Rows, settings: Settings) -> list[dict[str, object]]:
    labels = rows.labels[:, 0]
    found: list[dict[str, object]] = []
    for metric in ("auc", "gauc"):
        measure = METRICS[metric]
        value = measure(labels, a, rows.user) - measure(labels, b, rows.user)
        interval = metrics.bootstrap_difference(
            labels, a, b, rows.user, seed=0, rounds=settings.gate.bootstrap_rounds, metric=measure
        )
        found += metric_rows(
            f"challenger_minus_{other}",
            "all",
            {metric: value},
            intervals={metric: interval},
            rows=len(labels),
        )
    return found


if __name__ == "__main__":
    main(run)
