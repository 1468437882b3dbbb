"""How many samples a second does the ranker train with lifelong histories, and how much memory does it need?

    make bench B=rank_speed ARGS="[--history 1000] [--users 1000] [--samples 1 10 50] [--epochs 1 6] [--json FILE]"

The log is made up: every user has `--history` events, items are as popular as their rank, and the search uses vectors
of 64 numbers. Both ways train the same model (qarm_v2 without semantic IDs, embedding size 16, k = 50) on the same
rows, in batches of the same size. Each run is a process of its own.

Ways:

    ours    `models.ranker` as it is: it searches once
    padded  every sample holds a copy of the padded history [samples, history], cut at what the sample can see. Each
            step gathers the vectors of a batch, multiplies, masks and takes the best k.

Columns:

    samples per user    rows to train on for each user
    seconds             of the run, without making the log
    samples per second  rows times epochs, divided by the seconds
    mib                 memory that the run adds to that of the log
    times padded        samples per second, divided by those of `padded`
"""

import argparse
import json
import os
import subprocess
import sys
from time import perf_counter
from typing import Any

import numpy as np
import psutil
import torch
from common import PeakMemory, build_parser, describe_machine
from rich.console import Console
from rich.table import Table

from models.precision import device, mixed_precision
from models.ranker import PRESETS, Histories, Ranker, build_samples, fit, search_histories
from models.ranker.batch import Batch, single_part
from models.ranker.search_result import PADDING
from models.ranker.training import compute_loss
from models.training.optimizers import build_optimizers

Row = dict[str, Any]
ITEMS, WIDTH, DIM, BATCH, LR = 50_000, 64, 16, 1024, 2e-3
DESIGN = PRESETS["qarm_v2"].without("semantic_id")


class MadeUpLog:
    """Histories [users, history], vectors for the search, and rows with user, item, end of the history and label."""

    def __init__(self, users: int, history: int, samples: int) -> None:
        rng = np.random.default_rng(0)
        popularity = 1 / np.arange(1, ITEMS + 1) ** 0.8
        popularity /= popularity.sum()
        event_user, event_time = np.repeat(np.arange(users), history), np.tile(np.arange(history), users)
        event_item = rng.choice(ITEMS, len(event_user), p=popularity)
        self.histories = Histories.from_arrays(event_user, event_item, event_time, users)
        vectors = torch.randn(ITEMS, WIDTH, generator=torch.Generator().manual_seed(0))
        self.vectors = torch.nn.functional.normalize(vectors, dim=1).to(device())
        self.user = np.repeat(np.arange(users), samples)
        self.ts = rng.integers(history * 9 // 10, history + 1, len(self.user))
        self.item = rng.choice(ITEMS, len(self.user), p=popularity)
        self.end = self.histories.ends(self.user, self.ts)
        self.label = rng.integers(0, 2, (len(self.user), 1)).astype(np.float32)


def build_model() -> Ranker:
    return Ranker(design=DESIGN, n_items=ITEMS, tasks=("click",), dim=DIM).to(device())


def train_ours(log: MadeUpLog, epochs: int) -> None:
    search_result = search_histories(DESIGN, log.histories, log.user, log.item, log.end, vectors=log.vectors)
    rows = build_samples(DESIGN, log.histories, search_result, log.user, log.item, log.end, log.ts, log.label)
    fit(build_model(), rows, seed=0, epochs=epochs, batch_size=BATCH, lr=LR, valid_share=0.0, patience=epochs)


def train_padded(log: MadeUpLog, epochs: int) -> None:
    width = int(np.diff(log.histories.offsets).max())
    copies = np.full((len(log.user), width), PADDING, np.int64)
    length = log.histories.lengths(log.user, log.end)
    for row, (user, end) in enumerate(zip(log.user, log.end, strict=True)):
        copies[row, : length[row]] = log.histories.items[log.histories.offsets[user] : end]
    arrays = (log.item, copies, length.astype(np.float32), log.label)
    item, history, lengths, label = (torch.from_numpy(array) for array in arrays)
    ranker = build_model()
    ranker.known[:] = True
    optimizers = build_optimizers(ranker, LR)
    for epoch in range(epochs):
        order = torch.randperm(len(item), generator=torch.Generator().manual_seed(epoch))
        for rows in torch.split(order, BATCH):
            batch = (tensor[rows].to(device()) for tensor in (item, history, lengths))
            with mixed_precision(ranker.known.device):
                loss = compute_loss(ranker(search_batch(log.vectors, *batch)), label[rows].to(device()))
            ranker.zero_grad()
            torch.autograd.backward(loss)
            for optimizer in optimizers:
                optimizer.step()


def search_batch(vectors: torch.Tensor, item: torch.Tensor, history: torch.Tensor, lengths: torch.Tensor) -> Batch:
    """Find the best k events of each padded history [batch, history]."""
    similarity = torch.bmm(vectors[history.clamp(min=0)], vectors[item].unsqueeze(2)).squeeze(2)
    sims, positions = similarity.masked_fill(history == PADDING, -torch.inf).topk(DESIGN.k, dim=1)
    is_padding = torch.isneginf(sims)
    topk, sims = history.gather(1, positions).masked_fill(is_padding, PADDING), sims.masked_fill(is_padding, 0.0)
    return Batch(item, topk, sims, lengths, single_part(len(item), DESIGN.ks))


WAYS = {"ours": train_ours, "padded": train_padded}


def measure(way: str, users: int, history: int, samples: int, epochs: int) -> Row:
    log = MadeUpLog(users, history, samples)
    WAYS[way](MadeUpLog(1, history, 1), 1)  # a small run first, because PyTorch loads its kernels at the first step
    before = psutil.Process().memory_info().rss / 2**20
    with PeakMemory(os.getpid()) as peak:
        started = perf_counter()
        WAYS[way](log, epochs)
        seconds = perf_counter() - started
    return {
        "way": way, "history": history, "samples_per_user": samples, "epochs": epochs, "seconds": round(seconds, 2),
        "samples_per_second": round(len(log.user) * epochs / seconds), "mib": round(peak.mib - before),
    }  # fmt: skip


def main() -> None:
    parser = build_parser(__doc__)
    parser.add_argument("--history", type=int, default=1000)
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--samples", type=int, nargs="+", default=[1, 10, 50], help="of each user")
    parser.add_argument("--epochs", type=int, nargs="+", default=[1, 6])
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.way:
        print(json.dumps(measure(flags.way, flags.users, flags.history, flags.samples[0], flags.epochs[0])))
        return
    rows = []
    for samples in flags.samples:
        for epochs in flags.epochs:
            for way in WAYS:
                sizes = {"way": way, "users": flags.users, "history": flags.history, "samples": samples}
                options = [f"--{name}={value}" for name, value in (sizes | {"epochs": epochs}).items()]
                command = [sys.executable, __file__, *options]
                process = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                rows.append(json.loads(process.stdout))
                print(rows[-1], file=sys.stderr, flush=True)
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=1))
    show(rows)


def show(rows: list[Row]) -> None:
    table = Table(title=describe_machine("torch"))
    for column in (*rows[0], "times padded"):
        table.add_column(column.replace("_", " "), justify="right")
    for row in rows:
        padded = [other for other in rows if other["way"] == "padded" and all(
            other[key] == row[key] for key in ("history", "samples_per_user", "epochs"))]  # fmt: skip
        times = row["samples_per_second"] / padded[0]["samples_per_second"]
        table.add_row(*(f"{v:,}" if isinstance(v, int | float) else v for v in row.values()), f"{times:.2f}")
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
