"""Which item vectors find the next item: of texts, of behaviour, or of both? And how many items share a semantic ID?

    make bench B=behaviour ARGS="--data <amazon_beauty> [--ways text lightgcn dccf text_lightgcn text_dccf]
                                 [--seeds 0 1 2] [--unseen 0.1] [--epochs 30] [--json FILE]"

Nothing but the vectors ranks the items: a user is the mean of the vectors of the last ten items, each with 0.6 times
the weight of the one after it, and the score of an item is its cosine with this mean. The log is split as in
bench/generate.py: the last event of each user is the test, the last but one is for validation, and behaviour is learned
from the others. Seen items are left out, and an item that scores as high as the right one is ranked before it.

Ways:

    text           of the items' texts, from the built-in encoder
    lightgcn       from behaviour alone, with LightGCN; an item without events in training has no vector
    dccf           the same with DCCF
    text_lightgcn  text and behaviour in one vector; the text predicts the behaviour of an item without events
    text_dccf      the same with DCCF

--unseen  hides this share of the items, drawn by the seed, from training: so R@10 unseen measures new items.

Columns, mean and standard deviation over the seeds:

    R@10, N@10           share of users whose next item is among the best 10, and the same with discounted ranks (NDCG)
    R@10 valid           of the validation items
    R@10 unseen          of test items without an event in training
    collision            share of items that have the same ID as another item, with res_kmeans_fsq of 3 x 256 codes
    first code           share of users whose next item has the first code of one of their last ten items
    items of first code  share of all items that have one of these codes: what a random next item would give
    seconds              of training on behaviour
"""

import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
import torch
from common import build_parser, describe_machine
from generate import format_spread, rank_test
from generate_log import Events, Floats, SequenceLog
from generate_models import learn_behaviour
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import normalize

from models import collaborative
from models.generator.graph import DECAY, LAST
from models.generator.ranks import ndcg_at, recall_at
from models.quantizers import fit, measure_collisions
from models.ranker.histories import Histories, Int64s

SIZES = (256, 256, 256)
WAYS: dict[str, tuple[bool, Literal["lightgcn", "dccf"] | None]] = {  # whether the text counts, and which model
    "text": (True, None),
    "lightgcn": (False, "lightgcn"),
    "dccf": (False, "dccf"),
    "text_lightgcn": (True, "lightgcn"),
    "text_dccf": (True, "dccf"),
}
Row = dict[str, Any]
Cache = dict[str, tuple[collaborative.BehaviourVectors, float]]
COLUMNS = {"r_at_10": "R@10", "n_at_10": "N@10", "valid_r_at_10": "R@10 valid", "new_r_at_10": "R@10 unseen",
           "collision": "collision", "first_code": "first code", "first_code_items": "items of first code",
           "seconds": "seconds"}  # fmt: skip


def last_items(histories: Histories, users: Int64s, ends: Int64s) -> tuple[Int64s, Floats]:
    """The last items [rows, LAST] of histories, and their weights, which are 0 before the first event."""
    begins, places = histories.offsets[users][:, None], ends[:, None] - 1 - np.arange(LAST)
    weights = np.where(places >= begins, DECAY ** np.arange(LAST), 0).astype(np.float32)
    return histories.items[np.maximum(places, begins)].astype(np.int64), weights


def rank_by_cosine(log: SequenceLog, vectors: Tensor) -> Int64s:
    unit = normalize(vectors, dim=1)

    def score(histories: Histories, users: Int64s, ends: Int64s) -> Floats:
        items, weights = map(torch.from_numpy, last_items(histories, users, ends))
        scores: Floats = (torch.einsum("rk,rkd->rd", weights, unit[items]) @ unit.T).numpy()
        return scores

    return rank_test(log, score)[0]


def measure_first_code(log: SequenceLog, first_code: Int64s) -> tuple[float, float]:
    """Share of targets with the first code of a last item, and share of all items with these codes."""
    items, _ = last_items(log.histories, log.test.users, log.test.ends)
    has_code = np.zeros((len(items), SIZES[0]), bool)
    has_code[np.repeat(np.arange(len(items)), LAST), first_code[items].ravel()] = True  # the padding repeats an item
    share = np.bincount(first_code, minlength=SIZES[0]) / len(first_code)
    hits = has_code[log.test.target_rows, first_code[log.test.target_items]]
    return float(hits.mean()), float((has_code @ share).mean())


def measure(way: str, log: SequenceLog, hidden: NDArray[np.bool_], epochs: int, seed: int, cache: Cache) -> Row:
    (has_text, kind), known = WAYS[way], log.known
    text, seconds = torch.from_numpy(known.catalogue.vectors), 0.0
    vectors, has_vector = text, text.any(dim=1)
    if kind is not None:
        if kind not in cache:
            started = perf_counter()
            cache[kind] = learn_behaviour(known, kind, seed, epochs, hidden), perf_counter() - started
        behaviour, seconds = cache[kind]
        vectors, has_vector = behaviour.vectors, behaviour.has_vector
        if has_text:
            vectors = collaborative.combine(text, vectors, has_vector)
            has_vector = torch.ones_like(has_vector)
    ranks, rows = rank_by_cosine(log, vectors), log.test.target_rows
    valid_ranks = rank_by_cosine(SequenceLog(known, known.histories, known.valid), vectors)
    trained_items = known.train_items()
    is_new = ~np.isin(log.test.target_items, trained_items[~hidden[trained_items]])
    codes = fit("res_kmeans_fsq", vectors[has_vector], sizes=SIZES, seed=seed).encode(vectors)
    first_code, first_code_items = measure_first_code(log, codes[:, 0].numpy())
    return {
        "r_at_10": recall_at(10, ranks, rows),
        "n_at_10": ndcg_at(10, ranks, rows),
        "valid_r_at_10": recall_at(10, valid_ranks, known.valid.target_rows),
        "new_r_at_10": recall_at(10, ranks[is_new], rows[is_new]),
        "new_targets": int(is_new.sum()),
        "collision": measure_collisions(codes[has_vector])["collision_rate"],
        "first_code": first_code,
        "first_code_items": first_code_items,
        "seconds": round(seconds, 1),
    }


def main() -> None:
    parser = build_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="landing folder")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--unseen", type=float, default=0.0, help="share of the items to hide")
    parser.add_argument("--epochs", type=int, default=30)
    flags = parser.parse_args()
    rows: list[Row] = []
    try:
        log = Events.read(flags.data).arrange("leave_one_out", "raw", 0)
    except ValueError as error:
        sys.exit(f"behaviour: {error}")
    for seed in flags.seeds:
        hidden = np.random.default_rng(seed).random(log.known.n_items) < flags.unseen
        cache: Cache = {}
        for way in flags.ways:
            names = {"way": way, "seed": seed, "unseen": flags.unseen, "epochs": flags.epochs}
            rows.append(names | measure(way, log, hidden, flags.epochs, seed, cache))
            print(rows[-1], file=sys.stderr, flush=True)
            if flags.json:
                flags.json.write_text(json.dumps(rows, indent=1))
    title = f"{flags.data.name}: {len(log.test.users):,} users, {log.known.n_items:,} items"
    show(rows, f"{title}; {describe_machine('torch')}")


def show(rows: list[Row], title: str) -> None:
    table = Table(title=title)
    table.add_column("way")
    for name in COLUMNS.values():
        table.add_column(name, justify="right")
    for way in dict.fromkeys(row["way"] for row in rows):
        values = {key: [row[key] for row in rows if row["way"] == way] for key in COLUMNS}
        table.add_row(way, *(format_spread(values[key], key != "seconds") for key in COLUMNS))
    Console(width=180).print(table)


if __name__ == "__main__":
    main()
