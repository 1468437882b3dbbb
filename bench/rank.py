"""How good is every preset of the ranker on real labels, compared with simple rates and boosted trees?

    make bench B=rank ARGS="--data <collm_ml1m> [--information published until_now] [--presets din] [--json FILE]"

All presets train on the training rows, stop by the validation rows and are measured on the test rows, which are used
for no choice. Item vectors: MiniLM of the items' texts, with [encoder] and [align] of PROFILE (by default small).
Semantic IDs: Res-KmeansFSQ with 3 x 64 codes on these vectors; for qarm_v1 its paper's six levels of residual k-means
with 64 codes each. sim_soft searches by the ID embeddings of a DIN that is trained first. Every preset also receives
the running rates and, if the log has dislikes, which events were disliked. Runs on a GPU if there is one (not tried).

A preset can be changed with suffixes, as in `qarm_v2:-simtier:k=10`:

    :-simtier     without this feature or extra
    :latest       the latest events instead of the search by embeddings
    :aligned      vectors tuned on Swing pairs of the training rows (once, with seed 0)
    :fsq          qarm_v1 with the semantic IDs of qarm_v2
    :distinct     each item of a history once
    :lists        liked and disliked events in lists of their own
    :k=10         the search hands on 10 events
    :latest=20    beside these, the latest 20 events have an attention of their own
    :history=100  only the last 100 events are searched

With `--new 0.2`, a random fifth of the items appears only from the first test row on; before that only its texts are
known.

Columns, mean and standard deviation over the seeds:

    auc, uauc, gauc  AUC of the test rows; within each user, averaged (uauc), or weighted by rows (gauc)
    log loss         mean error of the predicted probabilities
    served ...       the same of the test rows as served: knowing what happened until the end of the day before
    auc cold         AUC of the test rows whose item is in no training row
    auc history 100  AUC of the test rows with 100 events and more before them, up to the next such column

--json also writes the rows of each of these columns, the same metrics of the validation rows, by which settings are
chosen (valid_auc, valid_served_auc ...), the training speed (samples_per_second) and peak_mib: the most memory that the
process had while the preset was trained, with the log, the encoder and what earlier presets left.
"""

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
from common import PeakMemory, build_parser, describe_machine
from numpy.typing import NDArray
from rank_logs import LIKED, SERVED, TEST, TRAIN, VALID, VALID_SERVED, Information, LabelledLog, load_log
from rank_simple import SIMPLE, score_simple
from rank_variants import Variant, parse_variant
from rank_vectors import embed_texts, tune_and_embed
from rich.console import Console
from rich.table import Table

from jobs.settings.tree import load_settings
from models import metrics, quantizers
from models.precision import device
from models.ranker import PRESETS, Design, Ranker, Samples, build_samples, fit, pca, predict, search_histories
from models.ranker.model import NEAREST
from models.ranker.similar_rates import SimilarRates
from models.ranker.teacher import add_targets

Row = dict[str, Any]
Floats = NDArray[np.floating]
GSU_DIM, EPOCHS = 64, 10
CODES, V1_CODES = ("res_kmeans_fsq", (64,) * 3), ("res_kmeans", (64,) * 6)
METRICS = {"auc": metrics.auc, "uauc": metrics.uauc, "gauc": metrics.gauc, "log_loss": metrics.log_loss}
LENGTHS = (0, 10, 100, 1000, 1 << 62)  # bounds of the slices by history length
# Three learning rates and two dropouts were tried; with these, qarm_v2 predicts the validation rows of collm_ml1m best.
LR, DROPOUT = 5e-4, 0.5


class Bench:
    """What all presets share on one data set: its log, item vectors, categories and the seed."""

    def __init__(self, log: LabelledLog, vectors: torch.Tensor, seed: int) -> None:
        self.log, self.seed = log, seed
        self.vectors = pca(vectors, GSU_DIM).to(device())
        self.x = vectors
        self.categories = torch.from_numpy(log.categories).to(device())

    def build_samples(self, design: Design, max_history: int = 10_000, vectors: torch.Tensor | None = None) -> Samples:
        """All rows with the events that the design's search chooses, by `vectors` or else by the item vectors."""
        log = self.log
        search_result = search_histories(
            design, log.histories, log.user, log.item, log.end,
            vectors=self.vectors if vectors is None else vectors, categories=self.categories,
            max_history=max_history,
        )  # fmt: skip
        similar = None
        if "similar_rates" in design.extras:
            rates = SimilarRates(self.vectors, self.categories, log.shown_kinds, LIKED, max_history)
            similar = rates.at(log.shown, log.user, log.item, log.shown_end, log.rates[:, 0])
        rows = build_samples(
            design, log.histories, search_result, log.user, log.item, log.end, log.ts, log.label[:, None], log.rates,
            similar,
        )  # fmt: skip
        train = np.flatnonzero(log.part == TRAIN)
        return add_targets(rows, train, design.teacher, self.seed) if design.teacher else rows

    def train_ranker(
        self, design: Design, variant: Variant, vectors: torch.Tensor | None = None
    ) -> tuple[Ranker, Floats, float]:
        """A trained model, its scores of all rows, and samples a second of its training (validation included)."""
        rows = self.build_samples(design, variant.max_history, vectors)
        kind, sizes = CODES if variant.fsq else V1_CODES
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
        is_known = self.log.part <= VALID  # train and validation
        started = perf_counter()
        curve = fit(
            model, rows.take(np.flatnonzero(is_known)), seed=self.seed, epochs=EPOCHS, batch_size=512, lr=LR,
            valid_share=float((self.log.part == 1).sum() / is_known.sum()), patience=2,
        )  # fmt: skip
        speed = len(curve) * int((self.log.part == 0).sum()) / (perf_counter() - started)
        return model, predict(model, rows)[:, 0], speed

    def score_rows(self, variant: Variant) -> tuple[Floats, float]:
        """Scores of all rows, and samples a second of training (nan if the variant trains no ranker)."""
        if variant.design is None:
            with_similar = replace(PRESETS["muse"], extras=("simtier", "rates", "similar_rates"))
            trees_read = {"boosted_trees": PRESETS["muse"], "boosted_trees_similar": with_similar}
            design = trees_read.get(variant.name)
            samples = self.build_samples(design) if design else None
            return score_simple(variant.name, self.log, samples, self.seed), float("nan")
        design = replace(variant.design, extras=(*variant.design.extras, "rates"))
        if self.log.histories.kinds is not None and len(np.unique(self.log.histories.kinds)) > 1:
            design = replace(design, extras=(*design.extras, "event"))
        vectors = None
        if design.search == "id_embedding":
            din = self.train_ranker(replace(PRESETS["din"], extras=("rates",)), variant)[0]
            vectors = din.id_directions()
        _, scores, speed = self.train_ranker(design, variant, vectors)
        return scores, speed


def measure(bench: Bench, variant: Variant, information: Information) -> Row:
    with PeakMemory(os.getpid()) as peak:
        scores, speed = bench.score_rows(variant)
    log = bench.log
    test = np.flatnonzero(log.part == TEST)
    row: Row = {"preset": variant.name, "information": information, "seed": bench.seed}
    parts = {"": test, "served_": np.flatnonzero(log.part == SERVED), "valid_": np.flatnonzero(log.part == VALID)}
    parts["valid_served_"] = np.flatnonzero(log.part == VALID_SERVED)
    for prefix, rows in parts.items():
        if len(rows):
            row |= {f"{prefix}{name}": METRICS[name](log.label[rows], scores[rows], log.user[rows]) for name in METRICS}
    length = log.histories.lengths(log.user[test], log.end[test])
    slices = {"cold": ~np.isin(log.item[test], log.item[log.part == 0])}
    for low, high in pairwise(LENGTHS):
        slices[f"history_{low}"] = (length >= low) & (length < high)
    for name, in_slice in slices.items():
        slice_rows = test[in_slice]
        if len(np.unique(log.label[slice_rows])) > 1:
            row[f"auc_{name}"] = metrics.auc(log.label[slice_rows], scores[slice_rows], log.user[slice_rows])
            row[f"rows_{name}"] = len(slice_rows)
    speeds = {"samples_per_second": round(speed) if np.isfinite(speed) else None, "peak_mib": round(peak.mib)}
    return row | speeds


def main() -> None:
    parser = build_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="landing folder, or one of CoLLM's split")
    parser.add_argument("--information", nargs="+", choices=["published", "until_now"], default=["until_now"])
    parser.add_argument(
        "--presets", nargs="+", type=parse_variant, default=list(map(parse_variant, [*SIMPLE, *PRESETS]))
    )
    parser.add_argument("--new", type=float, default=0.0, help="share of the items that appear only with the test rows")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    flags = parser.parse_args()
    os.environ.setdefault("PROFILE", "small")
    settings = load_settings()
    rows: list[Row] = []
    # Untuned (False) and tuned (True) vectors. Both kinds of information have the same items and training rows.
    vectors = dict[bool, torch.Tensor]()
    for information in flags.information:
        try:
            log = load_log(flags.data, information, flags.new)
        except ValueError as error:
            sys.exit(f"rank: {error}")
        for variant in flags.presets:
            if variant.design and variant.design.lists and information == "published":
                sys.exit(f"rank: {variant.name} needs types of events, which published histories do not have")
        for tuned in {variant.aligned for variant in flags.presets} - vectors.keys():
            encoder, align = settings.encoder, settings.align
            vectors[tuned] = tune_and_embed(log, encoder, align, seed=0) if tuned else embed_texts(log.texts, encoder)
        for seed in flags.seeds:
            for variant in flags.presets:
                rows.append(measure(Bench(log, vectors[variant.aligned], seed), variant, information))
                print(rows[-1], file=sys.stderr, flush=True)
                if flags.json:
                    flags.json.write_text(json.dumps(rows, indent=1))
    show(rows, f"{flags.data.name}, {(log.part == TEST).sum():,} test rows; {describe_machine('torch')}")


def show(rows: list[Row], title: str) -> None:
    table = Table(title=title)
    slices = dict.fromkeys(name for row in rows for name in row if name.startswith("auc_"))
    served = [f"served_{name}" for name in METRICS if any(f"served_{name}" in row for row in rows)]
    names = (*METRICS, *served, *slices)
    for name in ("information", "preset", *names):
        table.add_column(name.replace("_", " "))
    for key in dict.fromkeys((row["information"], row["preset"]) for row in rows):
        seed_rows = [row for row in rows if (row["information"], row["preset"]) == key]
        columns = [[row.get(name, np.nan) for row in seed_rows] for name in names]
        table.add_row(*key, *(f"{np.mean(values):.4f} ± {np.std(values):.4f}" for values in columns))
    Console(width=220).print(table)


if __name__ == "__main__":
    main()
