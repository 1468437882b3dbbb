"""What kind of semantic ID serves the ranker best: AUC of the newest day of a lake, by kind of codebook.

    make run DATA=<landing folder> LAKE=<lake>
    make bench B=codes ARGS="--lake <lake> [--seeds 0 1 2] [--ways res_kmeans_fsq ...] [--unseen 0.2] [--json FILE]"

Fits each way of bench/quantize.py (its sizes from the settings) on all items of the lake, trains the ranker anew on the
rows that the job `train` takes, with the same seed for all ways, and measures AUC and GAUC of the test rows, and AUC of
those whose item was in no training row. `none`: item IDs alone, everything else the same. `--unseen 0.2` hides a random
fifth of the items, another one for each seed, from the fit of the codes and from training, in histories, too; as an
item that is new has no running rates, no model is told any then. The lake is only read. Asserts nothing.
"""

import json
import sys
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from carry_over import with_codes
from common import lake_arguments, machine
from numpy.typing import NDArray
from quantize import WAYS, Items
from rich.console import Console
from rich.table import Table

from jobs.codebooks.store import live_codebook
from jobs.encoders.tuned_encoders import live_encoder
from jobs.encoders.vectors import current_vectors
from jobs.lake import Lake
from jobs.ranking.build import build
from jobs.ranking.dataset import Dataset, load_dataset, searched
from jobs.ranking.items import ItemFeatures, load_item_features
from jobs.settings.tree import Settings, load_settings
from jobs.train import train
from models import metrics
from models.ranker.design import PRESETS, Design
from models.ranker.model import Ranker
from models.ranker.samples import Samples
from models.ranker.search_result import PADDING
from models.ranker.training import predict

Row = dict[str, Any]
CHOICES = ("none", *(way for way in WAYS if way not in ("nearest_items", "plain_fsq_tables", "rq_vae_letter")))

DESIGN = replace(PRESETS["qarm_v2"], extras=("simtier", "rates"))  # as the daily run trains it


def hidden(rows: Samples, unseen: NDArray[np.bool_]) -> Samples:
    """The rows of other items [items], without the unseen ones in their histories."""
    rows = rows.take(np.flatnonzero(~unseen[rows.target]))
    none = (rows.topk >= 0) & unseen[rows.topk]
    return replace(rows, topk=np.where(none, PADDING, rows.topk), sims=np.where(none, 0, rows.sims))


def trained(
    data: Dataset, catalogue: ItemFeatures, found: Samples, settings: Settings, seed: int, way: str, design: Design
) -> Ranker:
    ranker = settings.ranker.model_copy(update={"seed": seed})
    told = settings.model_copy(update={"ranker": ranker})
    coded = design if way != "none" else design.without("semantic_id")
    model = build(replace(data, catalogue=catalogue), told, coded)
    train(model, found, told, f"with {way}, seed {seed}")
    return model


def measured(model: Ranker, data: Dataset, found: Samples) -> Row:
    scores = predict(model, found)[:, model.tasks.index(data.tasks[0])]
    labels, user = data.test.labels[:, 0], data.test.user
    cold = ~model.known.cpu().numpy()[data.test.target]
    return {
        "auc": metrics.auc(labels, scores, user),
        "gauc": metrics.gauc(labels, scores, user),
        "auc_cold": metrics.auc(labels[cold], scores[cold], user[cold]),
        "cold_rows": int(cold.sum()),
    }


def main() -> None:
    parser = lake_arguments(__doc__)
    parser.add_argument("--ways", choices=CHOICES, nargs="+", default=list(CHOICES))
    parser.add_argument("--unseen", type=float, default=0.0, help="share of the items")
    flags = parser.parse_args()
    lake, settings = Lake(flags.lake, run_id="bench"), load_settings()
    days = [row["day"] for row in lake.arrow("gold.releases", ["day"]).to_pylist()]
    day = max(days, default=date.min)
    encoder = live_encoder(lake, settings, day).version
    book = live_codebook(lake, settings, encoder, day)
    if not days or book is None:
        sys.exit(f"codes: {flags.lake} holds no release; make run LAKE={flags.lake} first")
    items, vectors = current_vectors(lake, encoder)
    catalogue = load_item_features(lake, settings, encoder, book.version)
    data = load_dataset(lake, settings, catalogue, day)
    design = DESIGN.without("rates") if flags.unseen else DESIGN
    rows, test = (searched(data, part, settings, design) for part in (data.train, data.test))
    x = torch.from_numpy(vectors)
    found: list[Row] = []
    for seed in flags.seeds:
        unseen = np.random.default_rng(seed).random(len(catalogue.ids)) < flags.unseen
        seen = ~unseen[catalogue.index(pa.array(items))]
        for way in flags.ways:
            coded = catalogue
            if way != "none":
                fitted = WAYS[way](Items(x[seen], torch.zeros(int(seen.sum()), 0)), settings.quantizer.sizes, seed)
                coded = with_codes(catalogue, items, fitted.encode(x))
            model = trained(data, coded, hidden(rows, unseen), settings, seed, way, design)
            found.append({"way": way, "seed": seed} | measured(model, data, test))
            print(found[-1], file=sys.stderr, flush=True)
            if flags.json:
                flags.json.write_text(json.dumps(found, indent=1))
    show(found, f"{day}, {len(items):,} items, {len(data.train):,} and {len(data.test):,} rows; {machine('torch')}")


def show(rows: list[Row], title: str) -> None:
    table = Table(title=title)
    names = ("auc", "gauc", "auc_cold")
    for name in ("way", *names):
        table.add_column(name.replace("_", " "))
    for way in dict.fromkeys(row["way"] for row in rows):
        mine = [[row[name] for row in rows if row["way"] == way] for name in names]
        table.add_row(way, *(f"{np.mean(values):.4f} ± {np.std(values):.4f}" for values in mine))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
