"""What does a refit of the codebook cost the ranker, and how much is saved by keeping the old code numbers?

    make run                                                        # or any run of at least two days
    make bench B=carry_over ARGS="--lake lake [--seeds 0 1 2] [--json carry_over.json]"

Takes the newest day of a lake and the champion of the day before, and gives all items new semantic IDs in four ways:

    no refit      the champion's own codes
    carried over  a refit that starts from the champion's codebook and is matched to it. The champion's embeddings of
                  the codes stay with their code numbers.
    unmatched     a codebook fitted from scratch. The embeddings stay with code numbers that now mean something else.
    redrawn       a codebook fitted from scratch. The embeddings of the codes are drawn again at random.

Columns, mean and standard deviation over the seeds:

    moved ...           share of items whose first code, first two codes or whole ID changed
    auc as it is        AUC of the model on the day's test rows, right after the refit
    auc after an epoch  the same after one epoch of training on the days before

The bench only reads the lake.
"""

import json
import sys
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from common import build_lake_parser, describe_machine
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from jobs.codebooks.store import load_codebook
from jobs.encoders.vectors import current_vectors
from jobs.lake import Lake
from jobs.ranking.dataset import Dataset, load_dataset
from jobs.ranking.items import ItemFeatures, load_item_features
from jobs.ranking.model_inputs import build_model_inputs, search_vectors
from jobs.release.model_store import load_card, load_model
from jobs.release.releases import live_release
from jobs.settings.tree import Settings, load_settings
from models import metrics
from models.quantizers import ResKmeansFSQ
from models.quantizers.matching import match_codebook, measure_moves
from models.ranker.model import Ranker
from models.ranker.prediction import predict
from models.ranker.samples import Samples
from models.ranker.training import fit

Row = dict[str, Any]


def fit_codebooks(old: ResKmeansFSQ, x: Tensor, settings: Settings, seed: int) -> dict[str, ResKmeansFSQ]:
    """The codebook of each way, for item vectors x [items, dim]."""
    q = settings.quantizer
    options: dict[str, Any] = {"sizes": q.sizes, "kmeans_iterations": q.kmeans_iterations, "fsq_steps": q.fsq_steps}
    options |= {"fsq_values": q.fsq_values}
    refit = match_codebook(old, ResKmeansFSQ.fit(x, seed=seed, start=old, **options), x)
    scratch = ResKmeansFSQ.fit(x, seed=seed + 1, **options)
    return {"no refit": old, "carried over": refit, "unmatched": scratch, "redrawn": scratch}


def replace_codes(catalogue: ItemFeatures, items: list[str], codes: Tensor) -> ItemFeatures:
    """Give `items` these codes [items, 3]; all other items of the catalogue get none (-1)."""
    all_codes = torch.full((len(catalogue.ids), 3), -1, dtype=torch.int64)
    all_codes[torch.from_numpy(pc.index_in(pa.array(items), catalogue.ids).to_numpy().astype(np.int64))] = codes
    return replace(catalogue, codes=all_codes)


def redraw_code_embeddings(model: Ranker, seed: int) -> Ranker:
    torch.manual_seed(seed)
    for table in model.levels:
        assert isinstance(table, nn.Embedding)
        nn.init.normal_(table.weight, std=0.01)
    return model


def measure_auc(model: Ranker, data: Dataset, test: Samples) -> float:
    scores = predict(model, test)[:, model.tasks.index(data.tasks[0])]
    return metrics.auc(data.test.labels[:, 0], scores, data.test.user)


def main() -> None:
    parser = build_lake_parser(__doc__)
    flags = parser.parse_args()
    lake, settings = Lake(flags.lake, run_id="bench"), load_settings()
    day = max((row["day"] for row in lake.arrow("gold.releases", ["day"]).to_pylist()), default=date.min)
    champion = live_release(lake, before=str(day))
    if champion is None:
        sys.exit(f"carry_over: {flags.lake} needs releases of two days; run `make run LAKE={flags.lake}` first")
    card = load_card(lake, champion["model_uri"])
    items, vectors = current_vectors(lake, card.encoder_version)
    old = load_codebook(lake, card.codebook_version, vectors.shape[1])
    assert isinstance(old, ResKmeansFSQ)
    x = torch.from_numpy(vectors)
    catalogue = load_item_features(lake, settings, card.encoder_version, card.codebook_version)
    data = load_dataset(lake, settings, catalogue, day)
    live_model = load_model(lake, champion["model_uri"], catalogue)
    design, vectors_to_compare = live_model.design, search_vectors(live_model, catalogue)
    train, test = (
        build_model_inputs(data, part, settings, design, vectors=vectors_to_compare) for part in (data.train, data.test)
    )
    rows: list[Row] = []
    for seed in flags.seeds:
        for way, book in fit_codebooks(old, x, settings, seed).items():
            codes = book.encode(x)
            model = load_model(lake, champion["model_uri"], replace_codes(catalogue, items, codes))
            model = redraw_code_embeddings(model, seed) if way == "redrawn" else model
            row = {"way": way, "seed": seed} | measure_moves(old.encode(x).numpy(), codes.numpy())
            row["auc_as_it_is"] = measure_auc(model, data, test)
            r = settings.ranker  # train on all rows: there is only one epoch, so no validation rows are needed
            fit(model, train, seed=seed, epochs=1, batch_size=r.batch, lr=r.lr, valid_share=0.0, patience=r.patience)
            rows.append(row | {"auc_after_an_epoch": measure_auc(model, data, test)})
            print({key: round(value, 4) if isinstance(value, float) else value for key, value in rows[-1].items()},
                  file=sys.stderr, flush=True)  # fmt: skip
    show(rows, f"{day}, {len(items):,} items, {len(data.test):,} test rows; {describe_machine('torch')}")
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=1))


def show(rows: list[Row], title: str) -> None:
    table = Table(title=title)
    names = [name for name in rows[0] if name not in ("way", "seed")]
    for name in ["way", *names]:
        table.add_column(name.replace("_", " "))
    for way in dict.fromkeys(row["way"] for row in rows):
        values_by_name = {name: [row[name] for row in rows if row["way"] == way] for name in names}
        table.add_row(way, *(f"{np.mean(values):.4f} ± {np.std(values):.4f}" for values in values_by_name.values()))
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
