"""Which kind of semantic ID helps the ranker most?

    make run DATA=<landing folder> LAKE=<lake>
    make bench B=codes ARGS="--lake <lake> [--seeds 0 1 2] [--ways res_kmeans_fsq ...] [--unseen 0.2] [--json FILE]"

Fits each kind of codebook from bench/quantize.py on all items of the lake, at the sizes of the settings. Then it trains
the ranker again, on the rows of the newest day that the job `train` takes, with the same seed for all kinds.

--ways    kinds of codebook; `none` is the baseline: item IDs alone, with everything else the same.
--unseen  hides this share of the items from the fit of the codes, from training and from histories. The items are
          drawn at random by the seed. Running rates are then left out of every model, because a new item has none.

Columns, mean and standard deviation over the seeds:

    way        kind of codebook
    auc, gauc  of the test rows; GAUC is AUC within each user, averaged, weighted by rows
    auc cold   AUC of the test rows whose item was in no training row

The bench only reads the lake.
"""

import json
import sys
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from carry_over import replace_codes
from common import build_lake_parser, describe_machine
from numpy.typing import NDArray
from quantize import WAYS, Items
from rich.console import Console
from rich.table import Table

from jobs.codebooks.store import find_live_codebook
from jobs.encoders.tuned_encoders import live_encoder
from jobs.encoders.vectors import current_vectors
from jobs.lake import Lake
from jobs.ranking import training
from jobs.ranking.build import build_ranker
from jobs.ranking.dataset import Dataset, load_dataset
from jobs.ranking.items import ItemFeatures, load_item_features
from jobs.ranking.model_inputs import build_model_inputs
from jobs.settings.tree import Settings, load_settings
from models import metrics
from models.ranker.design import PRESETS, Design
from models.ranker.model import Ranker
from models.ranker.prediction import predict
from models.ranker.samples import Samples
from models.ranker.search_result import PADDING

Row = dict[str, Any]
CHOICES = ("none", *(way for way in WAYS if way not in ("nearest_items", "plain_fsq_tables", "rq_vae_letter")))

DESIGN = replace(PRESETS["qarm_v2"], extras=("simtier", "rates"))  # as the daily run trains it


def hide_items(rows: Samples, unseen: NDArray[np.bool_]) -> Samples:
    """Drop the rows of unseen items [items], and remove these items from the histories of the other rows."""
    rows = rows.take(np.flatnonzero(~unseen[rows.target]))
    is_hidden = (rows.topk >= 0) & unseen[rows.topk]
    return replace(rows, topk=np.where(is_hidden, PADDING, rows.topk), sims=np.where(is_hidden, 0, rows.sims))


def train_ranker(
    data: Dataset, catalogue: ItemFeatures, rows: Samples, settings: Settings, seed: int, way: str, design: Design
) -> Ranker:
    ranker_settings = settings.ranker.model_copy(update={"seed": seed})
    seeded_settings = settings.model_copy(update={"ranker": ranker_settings})
    way_design = design if way != "none" else design.without("semantic_id")
    model = build_ranker(replace(data, items=catalogue), seeded_settings, way_design)
    training.train_ranker(model, rows, seeded_settings, f"with {way}, seed {seed}")
    return model


def measure(model: Ranker, data: Dataset, test: Samples) -> Row:
    scores = predict(model, test)[:, model.tasks.index(data.tasks[0])]
    labels, user = data.test.labels[:, 0], data.test.user
    cold = ~model.known.cpu().numpy()[data.test.target]
    return {
        "auc": metrics.auc(labels, scores, user),
        "gauc": metrics.gauc(labels, scores, user),
        "auc_cold": metrics.auc(labels[cold], scores[cold], user[cold]),
        "cold_rows": int(cold.sum()),
    }


def main() -> None:
    parser = build_lake_parser(__doc__)
    parser.add_argument("--ways", choices=CHOICES, nargs="+", default=list(CHOICES))
    parser.add_argument("--unseen", type=float, default=0.0, help="share of the items to hide")
    flags = parser.parse_args()
    lake, settings = Lake(flags.lake, run_id="bench"), load_settings()
    days = [row["day"] for row in lake.arrow("gold.releases", ["day"]).to_pylist()]
    day = max(days, default=date.min)
    encoder = live_encoder(lake, settings, day).version
    book = find_live_codebook(lake, settings.quantizer, encoder, day)
    if not days or book is None:
        sys.exit(f"codes: {flags.lake} holds no release; run `make run LAKE={flags.lake}` first")
    items, vectors = current_vectors(lake, encoder)
    catalogue = load_item_features(lake, settings, encoder, book.version)
    data = load_dataset(lake, settings, catalogue, day)
    design = DESIGN.without("rates") if flags.unseen else DESIGN
    train_rows, test_rows = (build_model_inputs(data, part, settings, design) for part in (data.train, data.test))
    x = torch.from_numpy(vectors)
    rows: list[Row] = []
    for seed in flags.seeds:
        unseen = np.random.default_rng(seed).random(len(catalogue.ids)) < flags.unseen
        seen = ~unseen[catalogue.index_of(pa.array(items))]
        for way in flags.ways:
            way_catalogue = catalogue
            if way != "none":
                way_book = WAYS[way](Items(x[seen], torch.zeros(int(seen.sum()), 0)), settings.quantizer.sizes, seed)
                way_catalogue = replace_codes(catalogue, items, way_book.encode(x))
            model = train_ranker(data, way_catalogue, hide_items(train_rows, unseen), settings, seed, way, design)
            rows.append({"way": way, "seed": seed} | measure(model, data, test_rows))
            print(rows[-1], file=sys.stderr, flush=True)
            if flags.json:
                flags.json.write_text(json.dumps(rows, indent=1))
    sizes = f"{len(items):,} items, {len(data.train):,} and {len(data.test):,} rows"
    show(rows, f"{day}, {sizes}; {describe_machine('torch')}")


def show(rows: list[Row], title: str) -> None:
    table = Table(title=title)
    names = ("auc", "gauc", "auc_cold")
    for name in ("way", *names):
        table.add_column(name.replace("_", " "))
    for way in dict.fromkeys(row["way"] for row in rows):
        columns = [[row[name] for row in rows if row["way"] == way] for name in names]
        table.add_row(way, *(f"{np.mean(values):.4f} ± {np.std(values):.4f}" for values in columns))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
