"""Training samples a second and memory at lifelong histories, beside a copy of the padded history in every sample.

    make bench B=rank_speed ARGS="[--history 1000] [--users 1000] [--samples 1 10 50] [--epochs 1 6] [--json FILE]"

Made-up log: every user has as many events as `history`, items as popular as their rank, 64 numbers for the search.
Both ways train the same model (qarm_v2 of embedding size 16, k = 50, without semantic IDs) on the same rows, in batches
of one size. `ours`: `models.ranker` as it is, its search once. `padded`: arrays [samples, history], cut to what the
sample may know; each step gathers the vectors of a batch, multiplies, masks, takes the best k. Each run is a process of
its own; seconds begin when the log is in memory, MiB are what was added to it. Asserts nothing.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import psutil
import torch
from common import Peak, machine
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from models.precision import device
from models.ranker import PRESETS, Histories, Ranker, find, fit, gathered
from models.ranker.batch import Batch, whole
from models.ranker.search_result import PADDING
from models.ranker.training import faster, loss_of, optimizers_of

Row = dict[str, Any]
Ints = NDArray[np.int64]
ITEMS, WIDTH, DIM, BATCH, LR = 50_000, 64, 16, 1024, 2e-3
DESIGN = PRESETS["qarm_v2"].without("semantic_id")


class Log:
    """Histories [users, history], the vectors to search by, and rows: user, item, where its history ends, label."""

    def __init__(self, users: int, history: int, samples: int) -> None:
        rng = np.random.default_rng(0)
        popular = 1 / np.arange(1, ITEMS + 1) ** 0.8
        popular /= popular.sum()
        who, when = np.repeat(np.arange(users), history), np.tile(np.arange(history), users)
        self.histories = Histories.from_arrays(who, rng.choice(ITEMS, len(who), p=popular), when, users)
        vectors = torch.randn(ITEMS, WIDTH, generator=torch.Generator().manual_seed(0))
        self.vectors = torch.nn.functional.normalize(vectors, dim=1).to(device())
        self.user = np.repeat(np.arange(users), samples)
        self.ts = rng.integers(history * 9 // 10, history + 1, len(self.user))
        self.item = rng.choice(ITEMS, len(self.user), p=popular)
        self.end = self.histories.ends(self.user, self.ts)
        self.label = rng.integers(0, 2, (len(self.user), 1)).astype(np.float32)


def model() -> Ranker:
    return Ranker(design=DESIGN, n_items=ITEMS, tasks=("click",), dim=DIM).to(device())


def ours(log: Log, epochs: int) -> None:
    found = find(DESIGN, log.histories, log.user, log.item, log.end, vectors=log.vectors)
    rows = gathered(DESIGN, log.histories, found, log.user, log.item, log.end, log.ts, log.label)
    fit(model(), rows, seed=0, epochs=epochs, batch_size=BATCH, lr=LR, valid_share=0.0, patience=epochs)


def padded(log: Log, epochs: int) -> None:
    width = int(np.diff(log.histories.offsets).max())
    copies = np.full((len(log.user), width), PADDING, np.int64)
    length = log.histories.lengths(log.user, log.end)
    for row, (user, end) in enumerate(zip(log.user, log.end, strict=True)):
        copies[row, : length[row]] = log.histories.items[log.histories.offsets[user] : end]
    arrays = (log.item, copies, length.astype(np.float32), log.label)
    item, history, lengths, label = (torch.from_numpy(array) for array in arrays)
    ranker = model()
    ranker.known[:] = True
    optimizers = optimizers_of(ranker, LR)
    for epoch in range(epochs):
        order = torch.randperm(len(item), generator=torch.Generator().manual_seed(epoch))
        for rows in torch.split(order, BATCH):
            some = (part[rows].to(device()) for part in (item, history, lengths))
            with faster(ranker):
                loss = loss_of(ranker(looked_up(log.vectors, *some)), label[rows].to(device()))
            ranker.zero_grad()
            torch.autograd.backward(loss)
            for optimizer in optimizers:
                optimizer.step()


def looked_up(vectors: torch.Tensor, item: torch.Tensor, history: torch.Tensor, lengths: torch.Tensor) -> Batch:
    near = torch.bmm(vectors[history.clamp(min=0)], vectors[item].unsqueeze(2)).squeeze(2)
    sims, at = near.masked_fill(history == PADDING, -torch.inf).topk(DESIGN.k, dim=1)
    none = torch.isneginf(sims)
    found, sims = history.gather(1, at).masked_fill(none, PADDING), sims.masked_fill(none, 0.0)
    return Batch(item, found, sims, lengths, whole(len(item), DESIGN.ks))


WAYS = {"ours": ours, "padded": padded}


def measured(way: str, users: int, history: int, samples: int, epochs: int) -> Row:
    log = Log(users, history, samples)
    WAYS[way](Log(1, history, 1), 1)  # what PyTorch loads at its first step is no work of either
    before = psutil.Process().memory_info().rss / 2**20
    with Peak(os.getpid()) as peak:
        began = perf_counter()
        WAYS[way](log, epochs)
        seconds = perf_counter() - began
    return {
        "way": way, "history": history, "samples_per_user": samples, "epochs": epochs, "seconds": round(seconds, 2),
        "samples_per_second": round(len(log.user) * epochs / seconds), "mib": round(peak.mib - before),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--history", type=int, default=1000)
    parser.add_argument("--users", type=int, default=1000)
    parser.add_argument("--samples", type=int, nargs="+", default=[1, 10, 50], help="of each user")
    parser.add_argument("--epochs", type=int, nargs="+", default=[1, 6])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.way:
        print(json.dumps(measured(flags.way, flags.users, flags.history, flags.samples[0], flags.epochs[0])))
        return
    rows = []
    for samples in flags.samples:
        for epochs in flags.epochs:
            for way in WAYS:
                sizes = {"way": way, "users": flags.users, "history": flags.history, "samples": samples}
                told = [f"--{name}={value}" for name, value in (sizes | {"epochs": epochs}).items()]
                done = subprocess.run([sys.executable, __file__, *told], check=True, stdout=subprocess.PIPE, text=True)
                rows.append(json.loads(done.stdout))
                print(rows[-1], file=sys.stderr, flush=True)
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=1))
    show(rows)


def show(rows: list[Row]) -> None:
    table = Table(title=machine("torch"))
    for column in (*rows[0], "times padded"):
        table.add_column(column.replace("_", " "), justify="right")
    for row in rows:
        same = [one for one in rows if one["way"] == "padded" and all(
            one[key] == row[key] for key in ("history", "samples_per_user", "epochs"))]  # fmt: skip
        times = row["samples_per_second"] / same[0]["samples_per_second"]
        table.add_row(*(f"{v:,}" if isinstance(v, int | float) else v for v in row.values()), f"{times:.2f}")
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
