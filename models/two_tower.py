"""Two towers for retrieval: a user by the items acted on last, an item by its ID, both of unit length.

Here they say which item of a user's past is most like the one acted on now: User2Item pairs.
Sources: QARM (arXiv 2411.11739) and QARM V2 (arXiv 2602.08559), section 2, for the pairs; Yi et al.,
Sampling-Bias-Corrected Neural Modeling (RecSys 2019), for the in-batch softmax with its correction.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from models.ranker.gsu import PADDING, latest
from models.ranker.histories import Histories, Int32s, Int64s

LAST = 50  # positives of the past that stand for a user, and among which a pair is looked for
TEMPERATURE = 0.2
SCORES_AT_ONCE = 8_000_000
Progress = Callable[[int, int], None]  # batches done, batches in all


@dataclass(frozen=True)
class Positives:
    """What users acted on: row r is user[r] acting on target[r], with the history before end[r].

    histories  of all users
    user, target, end, ts  [rows] int64; end from Histories.ends, ts in microseconds since 1970
    """

    histories: Histories
    user: Int64s
    target: Int64s
    end: Int64s
    ts: Int64s

    def __len__(self) -> int:
        return len(self.target)

    def take(self, rows: Int64s | NDArray[np.bool_]) -> "Positives":
        return Positives(self.histories, self.user[rows], self.target[rows], self.end[rows], self.ts[rows])

    def history(self, rows: Int64s | slice) -> Int32s:
        """The last items [rows, LAST] before each row, newest first, PADDING where there are fewer."""
        return latest(self.histories, self.user[rows], self.end[rows], k=LAST).items

    def in_time(self) -> "Positives":
        """The same rows from the earliest to the latest, whatever order they came in."""
        return self.take(np.lexsort((self.end, self.target, self.user, self.ts)))


class TwoTower(nn.Module):
    """Unit vectors of users and items whose inner product is how likely the user acts on the item.

    n_items  items that have an index
    dim      of every vector
    seed     of the initial weights
    """

    def __init__(self, *, n_items: int, dim: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.ids = nn.Embedding(n_items, dim, sparse=True)  # a step touches the rows that it reads
            nn.init.normal_(self.ids.weight, std=0.05)
            self.weight = nn.Linear(dim, 1)
            self.recency = nn.Parameter(torch.zeros(LAST))
            last = nn.Linear(2 * dim, dim)
            self.mix = nn.Sequential(nn.Linear(dim, 2 * dim), nn.ReLU(), last)
        nn.init.zeros_(last.weight)  # at first a user is the weighted mean of the items
        nn.init.zeros_(last.bias)

    def items(self, rows: Tensor) -> Tensor:
        """Unit vectors [rows, dim] of items [rows] int64."""
        return F.normalize(self.ids(rows), dim=1)

    def users(self, history: Tensor) -> Tensor:
        """Unit vectors [batch, dim] of users by their last items.

        history  [batch, n <= LAST] int64, newest first, PADDING after the oldest; one item at least
        """
        padding = history == PADDING
        distinct, at = torch.unique(history.clamp(min=0), return_inverse=True)
        items = self.ids(distinct)
        score = F.embedding(at, self.weight(items)).squeeze(2) + self.recency[: history.shape[1]]
        share = score.masked_fill(padding, -torch.inf).softmax(dim=1)
        pooled = torch.einsum("bn,bnd->bd", share, F.embedding(at, items))
        return F.normalize(pooled + self.mix(pooled), dim=1)


def softmax_loss(users: Tensor, items: Tensor, target: Tensor, log_q: Tensor) -> Tensor:
    """Mean cross-entropy of each user's own item among those of the batch.

    A popular item is a negative more often than its share of the catalogue: its score is lowered by log_q, so
    that the model has to make up for it. A second occurrence of a row's own target is no negative.

    users, items  [batch, dim] unit vectors
    target        [batch] int64, the items' indices
    log_q         [batch], log of the share of training rows that have this target
    """
    logits = users @ items.T / TEMPERATURE - log_q
    twice = target.unsqueeze(1) == target.unsqueeze(0)
    twice.fill_diagonal_(False)
    return F.cross_entropy(logits.masked_fill(twice, -torch.inf), torch.arange(len(target), device=target.device))


def split_by_time(data: Positives, share: float) -> tuple[Positives, Positives]:
    """The earlier rows and the latest `share` of them."""
    ordered, at = data.in_time(), len(data) - int(len(data) * share)
    return ordered.take(np.arange(at)), ordered.take(np.arange(at, len(data)))


def fit(
    model: TwoTower,
    data: Positives,
    *,
    seed: int,
    epochs: int,
    batch_size: int,
    lr: float,
    progress: Progress | None = None,
) -> list[float]:
    """Train the model in place on rows that all have a history; returns the mean loss of each epoch.

    The order of rows does not matter. The same model, data, seed and number of threads give the same weights.
    A step costs what its batch holds, however many items there are.
    """
    data, device = data.in_time(), model.recency.device
    counts = torch.from_numpy(np.bincount(data.target, minlength=model.ids.num_embeddings)).to(device)
    log_q = (counts / len(data)).log()
    rest = [weights for name, weights in model.named_parameters() if name != "ids.weight"]
    optimizers = [torch.optim.SparseAdam([model.ids.weight], lr=lr), torch.optim.Adam(rest, lr=lr)]
    shuffle, batches = np.random.default_rng(seed), math.ceil(len(data) / batch_size)
    losses = []
    for epoch in range(epochs):
        order, total = shuffle.permutation(len(data)), torch.zeros((), device=device)
        for number in range(batches):
            rows = order[number * batch_size : (number + 1) * batch_size]
            target = torch.from_numpy(data.target[rows]).to(device)
            history = torch.from_numpy(data.history(rows)).long().to(device)
            loss = softmax_loss(model.users(history), model.items(target), target, log_q[target])
            for optimizer in optimizers:
                optimizer.zero_grad()
            torch.autograd.backward(loss)
            for optimizer in optimizers:
                optimizer.step()
            total += loss.detach()
            if progress is not None:
                progress(epoch * batches + number + 1, epochs * batches)
        losses.append(float(total) / batches)
    return losses


@torch.no_grad()
def vectors(model: TwoTower) -> Tensor:
    """Unit vectors [n_items, dim] float32 of all items."""
    return F.normalize(model.ids.weight, dim=1)


@torch.no_grad()
def hit_rate(model: TwoTower, data: Positives, *, k: int) -> float:
    """Share of rows whose target is among the k items that the model scores highest, of all items; NaN without rows.

    An item that scores as high as the target counts as before it.
    """
    every, hits = vectors(model), 0
    size = max(1, SCORES_AT_ONCE // len(every))
    for start in range(0, len(data), size):
        rows = slice(start, start + size)
        scores = model.users(torch.from_numpy(data.history(rows)).long().to(every.device)) @ every.T
        own = scores.gather(1, torch.from_numpy(data.target[rows]).to(every.device).unsqueeze(1))
        hits += int(((scores >= own).sum(dim=1) <= k).sum())
    return hits / len(data) if len(data) else math.nan


def popularity_hit_rate(earlier: Positives, later: Positives, *, n_items: int, k: int) -> float:
    """The hit_rate of the later rows if everyone got the k most frequent targets of the earlier ones."""
    counts = np.bincount(earlier.target, minlength=n_items)
    as_frequent = n_items - np.searchsorted(np.sort(counts), counts[later.target])
    return float((as_frequent <= k).mean()) if len(later) else math.nan
