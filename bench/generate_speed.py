"""How do the seconds, the memory and the lists a second of the generator change when the catalogue grows?

    make bench B=generate_speed ARGS="[--items 10000 100000 1000000] [--users 20000] [--lists 2000] [--json FILE]"

The log is made up: every user has 20 events, items are as popular as their rank, texts have ten words. All catalogues
have the same users and as many events. The model is the preset `sidereal` with text vectors of 384 numbers and semantic
IDs of three levels with 256 codes each and a number for twins. Each catalogue is a process of its own.

Columns:

    items              in the catalogue
    epoch seconds      training once on all histories
    lists per second   the best 50 of a beam of 64, for `--lists` users, without the items that they have seen
    trie seconds       building the trie of all items, once a day
    mib                the most memory of the process
"""

import argparse
import json
import os
import subprocess
import sys
from time import perf_counter

import numpy as np
import torch
from common import PeakMemory, build_parser, describe_machine
from rich.console import Console
from rich.table import Table

from models.generator import PRESETS, Generator, build_trie, find_best_codes, fit, seen_items
from models.generator.words import BUCKETS, Words
from models.precision import device
from models.quantizers.twins import number_twins
from models.ranker.histories import Histories

EVENTS, TEXT_DIM, WORDS, SIZES, LIST, BEAM = 20, 384, 10, (256, 256, 256), 50, 64
TOKENS, NEGATIVES, LR = 2048, 2048, 1e-3
COLUMNS = ("items", "epoch_seconds", "lists_per_second", "trie_seconds", "mib")


def make_histories(items: int, users: int, rng: np.random.Generator) -> Histories:
    popularity = 1 / np.arange(1, items + 1) ** 0.8
    event_user, event_time = np.repeat(np.arange(users), EVENTS), np.tile(np.arange(EVENTS), users)
    event_item = rng.choice(items, len(event_user), p=popularity / popularity.sum())
    return Histories.from_arrays(event_user, event_item, event_time, users)


def build_model(items: int, rng: np.random.Generator) -> Generator:
    codes = rng.integers(0, 256, (items, len(SIZES)))
    twins = number_twins(codes, np.zeros((0, len(SIZES)), np.int64), np.zeros(0, np.int64))
    sizes = (*SIZES, int(twins.max()) + 1)
    model = Generator(design=PRESETS["sidereal"], n_items=items, code_sizes=sizes, text_dim=TEXT_DIM)
    model.items.set_codes(torch.from_numpy(np.column_stack([codes, twins])))
    model.items.set_text(torch.randn(items, TEXT_DIM))
    numbers = torch.from_numpy((BUCKETS * rng.random(items * WORDS) ** 3).astype(np.int64))  # some words are frequent
    model.items.set_words(Words(torch.arange(items + 1) * WORDS, numbers))
    return model.to(device())


def measure(items: int, users: int, lists: int) -> dict[str, float]:
    with PeakMemory(os.getpid()) as peak:
        rng = np.random.default_rng(0)
        histories, model = make_histories(items, users, rng), build_model(items, rng)
        ends, started = histories.offsets[1:], perf_counter()
        fit(model, histories, ends, seed=0, epochs=1, tokens=TOKENS, negatives=NEGATIVES, lr=LR, valid_users=0,
            patience=1)  # fmt: skip
        trained = perf_counter()
        trie = build_trie(model)
        built, chosen = perf_counter(), np.arange(lists)
        states, seen = model.encode(histories, chosen, ends[chosen]), seen_items(histories, chosen, ends[chosen])
        find_best_codes(model, states, trie, k=LIST, beam=BEAM, excluded=seen)
        done = perf_counter()
    return {
        "items": items, "epoch_seconds": round(trained - started, 1), "trie_seconds": round(built - trained, 2),
        "lists_per_second": round(lists / (done - built)), "mib": round(peak.mib),
    }  # fmt: skip


def main() -> None:
    parser = build_parser(__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--lists", type=int, default=2_000)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)  # one catalogue, in this process
    flags = parser.parse_args()
    if flags.alone:
        print(json.dumps(measure(flags.items[0], flags.users, flags.lists)))
        return
    rows = []
    for items in flags.items:
        options = ["--items", str(items), "--users", str(flags.users), "--lists", str(flags.lists), "--alone"]
        done = subprocess.run([sys.executable, __file__, *options], stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(done.stdout))
        print(rows[-1], file=sys.stderr, flush=True)
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=1))
    table = Table(title=f"{flags.users:,} users with {EVENTS} events; {describe_machine('torch')}")
    for column in COLUMNS:
        table.add_column(column.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*(f"{row[column]:,}" for column in COLUMNS))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
