"""What does a daily ranker gain when training continues from the champion?

    make run                                                        # or any run of several days
    make bench B=warm_start ARGS="--lake lake [--seeds 0 1 2] [--json warm_start.json]"

Measures every day of the lake that had a champion before it. All ways use the settings of the profile, with at most as
many epochs as the way says; the validation rows can end training earlier. The bench only reads the lake.

Ways:

    champion  the champion unchanged
    warm      trained on from the champion's weights
    random    trained from random weights

Columns, mean and standard deviation over the seeds:

    auc, gauc  of the day's test rows; GAUC is AUC within each user, averaged, weighted by rows
    epochs     until training ended
    seconds    of training
"""

import copy
import json
import sys
from collections.abc import Iterator
from datetime import date
from time import perf_counter
from typing import Any

import numpy as np
from common import build_lake_parser, describe_machine
from rich.console import Console
from rich.table import Table

from jobs.lake import Lake
from jobs.ranking.build import build_ranker, challenger_design
from jobs.ranking.dataset import Dataset, load_dataset
from jobs.ranking.items import load_item_features
from jobs.ranking.model_inputs import build_model_inputs, search_vectors
from jobs.ranking.training import load_champion_to_continue, train_ranker
from jobs.release.model_store import load_card
from jobs.release.releases import live_release
from jobs.settings.tree import Settings, load_settings
from models import metrics
from models.ranker.model import Ranker
from models.ranker.prediction import predict
from models.ranker.samples import Samples

Row = dict[str, Any]
MANY_EPOCHS = 20  # more than the validation rows let a training run


def measure(model: Ranker, data: Dataset, test: Samples) -> Row:
    scores, labels, user = predict(model, test)[:, 0], data.test.labels[:, 0], data.test.user
    return {"auc": metrics.auc(labels, scores, user), "gauc": metrics.gauc(labels, scores, user)}


def compare_starts(lake: Lake, settings: Settings, day: date, seeds: list[int]) -> Iterator[Row]:
    """The rows of one day; no row if there was no champion before it that can be trained on."""
    champion = live_release(lake, before=str(day))
    if champion is None:
        return
    card = load_card(lake, champion["model_uri"])
    catalogue = load_item_features(lake, settings, card.encoder_version, card.codebook_version)
    data = load_dataset(lake, settings, catalogue, day)
    fresh = build_ranker(data, settings, challenger_design(settings.ranker))
    old = load_champion_to_continue(lake, settings, day, "challenger", fresh, catalogue, card.encoder_version)
    if old is None:
        return
    vectors = search_vectors(old, catalogue)
    rows, test = (
        build_model_inputs(data, part, settings, old.design, vectors=vectors) for part in (data.train, data.test)
    )
    yield {"day": str(day), "way": "champion", "epochs": 0, "seed": 0, "seconds": 0.0} | measure(old, data, test)
    for seed in seeds:
        for max_epochs in (settings.ranker.epochs, MANY_EPOCHS):
            ranker_settings = settings.ranker.model_copy(update={"seed": seed, "epochs": max_epochs})
            changed = settings.model_copy(update={"ranker": ranker_settings})
            for way in ("warm", "random"):
                model = (
                    copy.deepcopy(old)
                    if way == "warm"
                    else build_ranker(data, changed, challenger_design(changed.ranker))
                )
                started = perf_counter()
                curve = train_ranker(model, rows, changed, f"{way}, seed {seed}")
                row = {"day": str(day), "way": f"{way}, at most {max_epochs}", "epochs": curve[-1].epoch, "seed": seed}
                yield row | {"seconds": perf_counter() - started} | measure(model, data, test)


def main() -> None:
    parser = build_lake_parser(__doc__)
    flags = parser.parse_args()
    lake, settings = Lake(flags.lake, run_id="bench"), load_settings()
    days = sorted({row["day"] for row in lake.arrow("gold.releases", ["day"]).to_pylist()})
    rows = [row for day in days for row in compare_starts(lake, settings, day, flags.seeds)]
    if not rows:
        sys.exit(f"warm_start: {flags.lake} needs releases of two days; run `make run LAKE={flags.lake}` first")
    show(rows, f"{flags.lake}; {describe_machine('torch')}")
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=1))


def show(rows: list[Row], title: str) -> None:
    table = Table(title=title)
    names = ("auc", "gauc", "epochs", "seconds")
    for name in ("day", "way", *names):
        table.add_column(name)
    for key in dict.fromkeys((row["day"], row["way"]) for row in rows):
        values_by_name = {name: [row[name] for row in rows if (row["day"], row["way"]) == key] for name in names}
        table.add_row(*key, *(f"{np.mean(values):.4f} ± {np.std(values):.4f}" for values in values_by_name.values()))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
