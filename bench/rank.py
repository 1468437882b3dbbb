"""Rankers on real labels: every preset of the grid beside simple rates and boosted trees, on the same rows.

    make bench B=rank ARGS="--data <collm_ml1m> [--information published until_now] [--seeds 0 1 2] [--json FILE]"

Trained on the training rows, stopped by the validation rows, measured on the test rows, which choose nothing. Vectors:
MiniLM of the items' texts. Semantic IDs: Res-KmeansFSQ 3 x 64 on these, with the defaults. sim_soft searches by the ID
embeddings of a DIN that is trained first. With until_now every preset is told the running rates, and rankers that look
at types what was disliked. Asserts nothing.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from common import Peak, machine
from numpy.typing import NDArray
from rank_logs import Information, Log, load
from rich.console import Console
from rich.table import Table
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from jobs.encoders import encoder_location
from jobs.progress import progress
from jobs.sections import Encoder
from models import metrics, quantizers
from models.encoder import text
from models.encoder.sentence import Sentence
from models.ranker import PRESETS, Design, Ranker, Samples, find, fit, gathered, pca, predict
from models.ranker.model import NEAREST

Row = dict[str, Any]
Floats = NDArray[np.floating]
SIZES, GSU_DIM, EPOCHS = (64, 64, 64), 64, 10
LR, DROPOUT = 5e-4, 0.5  # of three and two, those with which qarm_v2 foretold the validation rows of collm_ml1m best


class Bench:
    """What all presets share on one set."""

    def __init__(self, log: Log, vectors: torch.Tensor, seed: int) -> None:
        self.log, self.seed = log, seed
        self.vectors = pca(vectors, GSU_DIM)
        self.x = vectors
        self.categories = torch.from_numpy(log.categories)

    def samples(self, design: Design, vectors: torch.Tensor | None = None) -> Samples:
        log = self.log
        found = find(
            design, log.histories, log.user, log.item, log.end,
            vectors=self.vectors if vectors is None else vectors, categories=self.categories,
        )  # fmt: skip
        return gathered(
            design, log.histories, found, log.user, log.item, log.end, log.ts, log.label[:, None], log.rates
        )

    def ranker(self, design: Design, vectors: torch.Tensor | None = None) -> tuple[Ranker, Floats, float]:
        """A trained model, its scores of all rows, samples a second of its training with its validation."""
        rows = self.samples(design, vectors)
        model = Ranker(
            design=design,
            n_items=len(self.x),
            tasks=("like",),
            code_sizes=SIZES,
            nearest_of=len(self.x),
            kinds=2,
            dropout=DROPOUT,
            seed=self.seed,
        )
        if model.codes.shape[1]:
            model.set_codes(quantizers.fit("res_kmeans_fsq", self.x, sizes=SIZES, seed=self.seed).encode(self.x))
        if "nearest_items" in design.features:
            pool = quantizers.fit("nearest_items", self.x, sizes=(len(self.x),) * NEAREST, seed=self.seed)
            model.set_nearest(pool.encode(self.x))
        known = self.log.part < 2
        began = perf_counter()
        curve = fit(
            model, rows.take(np.flatnonzero(known)), seed=self.seed, epochs=EPOCHS, batch_size=512, lr=LR,
            valid_share=float((self.log.part == 1).sum() / known.sum()), patience=2,
        )  # fmt: skip
        speed = len(curve) * int((self.log.part == 0).sum()) / (perf_counter() - began)
        return model, predict(model, rows)[:, 0], speed

    def preset(self, name: str) -> tuple[Floats, float]:
        """Scores of all rows, and samples a second of training."""
        if name in SIMPLE:
            return SIMPLE[name](self), float("nan")
        design = replace(PRESETS[name], extras=(*PRESETS[name].extras, "rates"))
        if self.log.histories.kinds is not None and len(np.unique(self.log.histories.kinds)) > 1:
            design = replace(design, extras=(*design.extras, "event"))
        vectors = None
        if design.search == "id_embedding":
            first = self.ranker(replace(PRESETS["din"], extras=("rates",)))[0]
            vectors = torch.nn.functional.normalize(first.ids.weight.detach()[:-1], dim=1)
        _, scores, speed = self.ranker(design, vectors)
        return scores, speed


def item_mean(bench: Bench) -> Floats:
    return bench.log.rates[:, 2]


def user_item_rates(bench: Bench) -> Floats:
    x, train = bench.log.rates, bench.log.part == 0
    found: Floats = LogisticRegression().fit(x[train], bench.log.label[train]).predict_proba(x)[:, 1]
    return found


def boosted_trees(bench: Bench) -> Floats:
    """On rates, history length and the similarities that the search finds."""
    rows = bench.samples(PRESETS["muse"])
    some = np.maximum((rows.topk >= 0).sum(axis=1), 1)
    parts = [rows.sims[:, :1], rows.sims[:, :5].mean(1, keepdims=True), (rows.sims.sum(1) / some)[:, None]]
    x = np.concatenate([bench.log.rates, np.log1p(rows.history_length)[:, None], *parts], axis=1)
    known = bench.log.part == 0
    model = HistGradientBoostingClassifier(random_state=bench.seed, learning_rate=0.05, max_leaf_nodes=15)
    found: Floats = model.fit(x[known], bench.log.label[known]).predict_proba(x)[:, 1]
    return found


SIMPLE: dict[str, Callable[[Bench], Floats]] = {
    "item_mean": item_mean, "user_item_rates": user_item_rates, "boosted_trees": boosted_trees,
}  # fmt: skip


def measured(bench: Bench, name: str, information: Information) -> Row:
    with Peak(os.getpid()) as peak:
        scores, speed = bench.preset(name)
    test = bench.log.part == 2
    y, s, user = bench.log.label[test], scores[test], bench.log.user[test]
    seen = np.isin(bench.log.item, bench.log.item[bench.log.part == 0])[test]
    return {
        "preset": name, "information": information, "seed": bench.seed, "auc": metrics.auc(y, s, user),
        "uauc": metrics.uauc(y, s, user), "gauc": metrics.gauc(y, s, user), "log_loss": metrics.log_loss(y, s, user),
        "auc_cold": metrics.auc(y[~seen], s[~seen], user[~seen]), "cold_rows": int((~seen).sum()),
        "samples_per_second": round(speed) if np.isfinite(speed) else None, "peak_mib": round(peak.mib),
    }  # fmt: skip


def embedded(texts: list[str]) -> torch.Tensor:
    encoder = Encoder()
    sentence = Sentence(encoder_location(encoder), max_tokens=encoder.max_tokens)
    told = progress("embedding", every=30)
    return torch.from_numpy(text.embed(sentence, texts, tokens_per_batch=encoder.tokens_per_batch, progress=told))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="landing folder, or one of CoLLM's split")
    parser.add_argument("--information", nargs="+", choices=["published", "until_now"], default=["until_now"])
    parser.add_argument("--presets", nargs="+", choices=[*SIMPLE, *PRESETS], default=[*SIMPLE, *PRESETS])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", type=Path)
    flags = parser.parse_args()
    rows: list[Row] = []
    vectors: torch.Tensor | None = None
    for information in flags.information:
        try:
            log = load(flags.data, information)
        except ValueError as error:
            sys.exit(f"rank: {error}")
        vectors = embedded(log.texts) if vectors is None else vectors
        for seed in flags.seeds:
            bench = Bench(log, vectors, seed)
            for name in flags.presets:
                rows.append(measured(bench, name, information))
                print(rows[-1], file=sys.stderr, flush=True)
                if flags.json:
                    flags.json.write_text(json.dumps(rows, indent=1))
    show(rows, f"{flags.data.name}, {(log.part == 2).sum():,} test rows; {machine('torch')}")


def show(rows: list[Row], title: str) -> None:
    table = Table(title=title)
    names = ("auc", "uauc", "gauc", "log_loss", "auc_cold")
    for name in ("information", "preset", *names):
        table.add_column(name.replace("_", " "))
    for key in dict.fromkeys((row["information"], row["preset"]) for row in rows):
        mine = [[row[name] for row in rows if (row["information"], row["preset"]) == key] for name in names]
        table.add_row(*key, *(f"{np.mean(values):.4f} ± {np.std(values):.4f}" for values in mine))
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
