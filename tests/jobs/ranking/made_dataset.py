"""A day small enough to count by hand: known histories and known item vectors."""

import numpy as np
import pyarrow as pa
import torch

from jobs.ranking.dataset import Dataset, Rows
from jobs.ranking.items import ItemFeatures
from models.ranker import Design, Histories, Ranker
from models.ranker.rates import Rates


def build_items(vectors: torch.Tensor) -> ItemFeatures:
    n = len(vectors)
    ids = pa.array([f"i{number:03}" for number in range(n)])
    return ItemFeatures(ids, vectors, torch.full((n, 3), -1), "cb1", torch.full((n,), -1))


def build_dataset(
    items: ItemFeatures,
    histories_of_users: list[list[int]],
    test: list[tuple[int, int]],
    tasks: tuple[str, ...] = ("click",),
    labels: list[list[float]] | None = None,
) -> Dataset:
    """Histories, one event after another, and test rows after all events.

    histories_of_users  items of each user
    test                (user, target) of each row
    labels              [rows, tasks] of the test rows; zeros by default
    """
    n_users = len(histories_of_users)
    user = np.repeat(np.arange(n_users), list(map(len, histories_of_users)))
    item = np.array([item for history in histories_of_users for item in history], np.int64)
    histories = Histories.from_arrays(user, item, np.arange(len(user)), n_users, kinds=np.zeros(len(user), np.int64))
    users, targets = np.array(test, np.int64).reshape(-1, 2).T
    until = np.full(len(test), len(user) + 1)
    end = histories.ends(users, until)
    known = np.zeros((len(test), len(tasks))) if labels is None else np.array(labels)
    rows = Rows(users, targets, until, end, histories.lengths(users, end), until, known.astype(np.float32))
    no_events, events = (user[:0], user[:0], user[:0]), (user, item, np.arange(len(user)))

    def load_rates(task: str) -> Rates:
        return Rates.from_arrays(events, events if task == "click" else no_events, n_users, len(items.ids), 1000)

    ids = pa.array([f"u{number}" for number in range(n_users)])
    return Dataset(items, ids, histories, load_rates, lambda: histories, tasks, rows, rows, "day")


def build_ranker(items: ItemFeatures, design: Design, tasks: tuple[str, ...] = ("click",)) -> Ranker:
    return Ranker(design=design, n_items=len(items.ids), tasks=tasks, dim=4).eval()
