"""Rankers on real labels: every preset of the grid beside simple rates and boosted trees, on the same rows.

    make bench B=rank ARGS="--data <collm_ml1m> [--information published until_now] [--presets din] [--json FILE]"

Trained on the training rows, stopped by the validation rows, measured on the test rows, which choose nothing. Vectors:
MiniLM of the items' texts, with [encoder] and [align] of PROFILE (here small, if none is set). Semantic IDs:
Res-KmeansFSQ 3 x 64 on these, with the defaults; for qarm_v1 its paper's six levels of residual k-means, 64 each.
sim_soft searches by the ID embeddings of a DIN that is trained first. Every preset is told the running rates, and which
events were disliked, where the log has them.

A preset may be changed, as `qarm_v2:-simtier` (without a feature or extra), `:latest` (without the search by
embeddings), `:aligned` (vectors tuned on Swing pairs of the training rows, once, with seed 0), `:fsq` (qarm_v1 with the
semantic IDs of qarm_v2), `:distinct` (each item of a history once), `:lists` (what was liked and what was not by
itself), `:k=10`, `:history=100` (the last events alone), and several of them. `auc_cold`: of items that no training row
has; `auc_history_100`: of rows with 100 events and more before them, up to the next such bound. With `--new 0.2` a
fifth of the items, drawn once, is there from the first test row on: what is known of them then are their texts, and
what happens from there on. On a GPU, if there is one (not tried). `peak_mib` is the most that the process held while
that preset was trained, with the log, the encoder and what presets before it left. Asserts nothing.
"""

import argparse
import json
import os
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from common import Peak, machine
from numpy.typing import NDArray
from rank_logs import Information, Log, load
from rank_simple import SIMPLE, simple
from rank_variants import Variant, variant
from rank_vectors import aligned, embedded
from rich.console import Console
from rich.table import Table

from jobs.settings.tree import load_settings
from models import metrics, quantizers
from models.precision import device
from models.ranker import PRESETS, Design, Ranker, Samples, find, fit, gathered, pca, predict
from models.ranker.model import NEAREST

Row = dict[str, Any]
Floats = NDArray[np.floating]
GSU_DIM, EPOCHS = 64, 10
CODES, V1_CODES = ("res_kmeans_fsq", (64,) * 3), ("res_kmeans", (64,) * 6)
LENGTHS = (0, 10, 100, 1000, 1 << 62)  # of histories, where slices part
LR, DROPOUT = 5e-4, 0.5  # of three and two, those with which qarm_v2 foretold the validation rows of collm_ml1m best


class Bench:
    """What all presets share on one set."""

    def __init__(self, log: Log, vectors: torch.Tensor, seed: int) -> None:
        self.log, self.seed = log, seed
        self.vectors = pca(vectors, GSU_DIM).to(device())
        self.x = vectors
        self.categories = torch.from_numpy(log.categories).to(device())

    def samples(self, design: Design, max_history: int = 10_000, vectors: torch.Tensor | None = None) -> Samples:
        log = self.log
        found = find(
            design, log.histories, log.user, log.item, log.end,
            vectors=self.vectors if vectors is None else vectors, categories=self.categories,
            max_history=max_history,
        )  # fmt: skip
        return gathered(
            design, log.histories, found, log.user, log.item, log.end, log.ts, log.label[:, None], log.rates
        )

    def ranker(self, design: Design, one: Variant, vectors: torch.Tensor | None = None) -> tuple[Ranker, Floats, float]:
        """A trained model, its scores of all rows, samples a second of its training with its validation."""
        rows = self.samples(design, one.max_history, vectors)
        kind, sizes = CODES if one.fsq else V1_CODES
        model = Ranker(
            design=design,
            n_items=len(self.x),
            tasks=("like",),
            code_sizes=sizes,
            nearest_of=len(self.x),
            kinds=2,
            dropout=DROPOUT,
            seed=self.seed,
        )
        if model.codes.shape[1]:
            model.set_codes(quantizers.fit(kind, self.x, sizes=sizes, seed=self.seed).encode(self.x))
        if "nearest_items" in design.features:
            pool = quantizers.fit("nearest_items", self.x, sizes=(len(self.x),) * NEAREST, seed=self.seed)
            model.set_nearest(pool.encode(self.x))
        model = model.to(device())
        known = self.log.part < 2
        began = perf_counter()
        curve = fit(
            model, rows.take(np.flatnonzero(known)), seed=self.seed, epochs=EPOCHS, batch_size=512, lr=LR,
            valid_share=float((self.log.part == 1).sum() / known.sum()), patience=2,
        )  # fmt: skip
        speed = len(curve) * int((self.log.part == 0).sum()) / (perf_counter() - began)
        return model, predict(model, rows)[:, 0], speed

    def scores(self, one: Variant) -> tuple[Floats, float]:
        """Of all rows, and samples a second of training."""
        if one.design is None:
            searched = self.samples(PRESETS["muse"]) if one.name == "boosted_trees" else None
            return simple(one.name, self.log, searched, self.seed), float("nan")
        design = replace(one.design, extras=(*one.design.extras, "rates"))
        if self.log.histories.kinds is not None and len(np.unique(self.log.histories.kinds)) > 1:
            design = replace(design, extras=(*design.extras, "event"))
        vectors = None
        if design.search == "id_embedding":
            first = self.ranker(replace(PRESETS["din"], extras=("rates",)), one)[0]
            vectors = first.id_directions()
        _, scores, speed = self.ranker(design, one, vectors)
        return scores, speed


def measured(bench: Bench, one: Variant, information: Information) -> Row:
    with Peak(os.getpid()) as peak:
        scores, speed = bench.scores(one)
    log = bench.log
    test = np.flatnonzero(log.part == 2)
    row: Row = {"preset": one.name, "information": information, "seed": bench.seed}
    for name, metric in (("auc", metrics.auc), ("uauc", metrics.uauc), ("gauc", metrics.gauc),
                         ("log_loss", metrics.log_loss)):  # fmt: skip
        row[name] = metric(log.label[test], scores[test], log.user[test])
    length = log.histories.lengths(log.user[test], log.end[test])
    slices = {"cold": ~np.isin(log.item[test], log.item[log.part == 0])}
    for low, high in pairwise(LENGTHS):
        slices[f"history_{low}"] = (length >= low) & (length < high)
    for name, which in slices.items():
        some = test[which]
        if len(np.unique(log.label[some])) > 1:
            row[f"auc_{name}"] = metrics.auc(log.label[some], scores[some], log.user[some])
            row[f"rows_{name}"] = len(some)
    speeds = {"samples_per_second": round(speed) if np.isfinite(speed) else None, "peak_mib": round(peak.mib)}
    return row | speeds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="landing folder, or one of CoLLM's split")
    parser.add_argument("--information", nargs="+", choices=["published", "until_now"], default=["until_now"])
    parser.add_argument("--presets", nargs="+", type=variant, default=list(map(variant, [*SIMPLE, *PRESETS])))
    parser.add_argument("--new", type=float, default=0.0, help="share of the items that come with the test rows")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", type=Path)
    flags = parser.parse_args()
    os.environ.setdefault("PROFILE", "small")
    settings = load_settings()
    rows: list[Row] = []
    vectors = dict[bool, torch.Tensor]()  # of both protocols: they have the same items and training rows
    for information in flags.information:
        try:
            log = load(flags.data, information, flags.new)
        except ValueError as error:
            sys.exit(f"rank: {error}")
        for one in flags.presets:
            if one.design and one.design.lists and information == "published":
                sys.exit(f"rank: {one.name} needs types of events, which published histories do not tell")
        for tuned in {one.aligned for one in flags.presets} - vectors.keys():
            encoder, align = settings.encoder, settings.align
            vectors[tuned] = aligned(log, encoder, align, seed=0) if tuned else embedded(log.texts, encoder)
        for seed in flags.seeds:
            for one in flags.presets:
                rows.append(measured(Bench(log, vectors[one.aligned], seed), one, information))
                print(rows[-1], file=sys.stderr, flush=True)
                if flags.json:
                    flags.json.write_text(json.dumps(rows, indent=1))
    show(rows, f"{flags.data.name}, {(log.part == 2).sum():,} test rows; {machine('torch')}")


def show(rows: list[Row], title: str) -> None:
    table = Table(title=title)
    slices = dict.fromkeys(name for row in rows for name in row if name.startswith("auc_"))
    names = ("auc", "uauc", "gauc", "log_loss", *slices)
    for name in ("information", "preset", *names):
        table.add_column(name.replace("_", " "))
    for key in dict.fromkeys((row["information"], row["preset"]) for row in rows):
        same = [row for row in rows if (row["information"], row["preset"]) == key]
        mine = [[row.get(name, np.nan) for row in same] for name in names]
        table.add_row(*key, *(f"{np.mean(values):.4f} ± {np.std(values):.4f}" for values in mine))
    Console(width=220).print(table)


if __name__ == "__main__":
    main()
