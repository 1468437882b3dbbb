"""A day small enough to count by hand: users who did so much, items whose vectors are known."""

import numpy as np
import pyarrow as pa
import torch

from jobs.ranking.dataset import Dataset, Rows
from jobs.ranking.items import ItemFeatures
from models.ranker import Design, Histories, Ranker
from models.ranker.rates import Rates


def catalogue(vectors: torch.Tensor) -> ItemFeatures:
    n = len(vectors)
    ids = pa.array([f"i{number:03}" for number in range(n)])
    return ItemFeatures(ids, vectors, torch.full((n, 3), -1), "cb1", torch.full((n,), -1))


def dataset(
    items: ItemFeatures, did: list[list[int]], test: list[tuple[int, int]], tasks: tuple[str, ...] = ("click",),
    labels: list[list[float]] | None = None,
) -> Dataset:  # fmt: skip
    """What users did, one item after another, and rows to judge by after all of that.

    did     for each user, its items
    test    (user, target) of each row
    labels  [rows, tasks] of them; zeros, if not told
    """
    user = np.repeat(np.arange(len(did)), [len(mine) for mine in did])
    item = np.array([one for mine in did for one in mine], np.int64)
    histories = Histories.from_arrays(user, item, np.arange(len(user)), len(did), kinds=np.zeros(len(user), np.int64))
    users, targets = np.array(test, np.int64).reshape(-1, 2).T
    until = np.full(len(test), len(user) + 1)
    end = histories.ends(users, until)
    known = np.zeros((len(test), len(tasks))) if labels is None else np.array(labels)
    rows = Rows(users, targets, until, end, histories.lengths(users, end), until, known.astype(np.float32))
    none, all_ = (user[:0], user[:0], user[:0]), (user, item, np.arange(len(user)))

    def rates(task: str) -> Rates:
        return Rates.from_arrays(all_, all_ if task == "click" else none, len(did), len(items.ids), 1000)

    ids = pa.array([f"u{number}" for number in range(len(did))])
    return Dataset(items, ids, histories, rates, lambda: histories, tasks, rows, rows, "day")


def ranker(items: ItemFeatures, design: Design, tasks: tuple[str, ...] = ("click",)) -> Ranker:
    return Ranker(design=design, n_items=len(items.ids), tasks=tasks, dim=4).eval()
