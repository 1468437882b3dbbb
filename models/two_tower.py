"""Two towers for retrieval: one for a user's last items, one for an item's ID; both give vectors of unit length.

models/user2item.py uses them to find which item of a user's history is most similar to the item that the user acts on.
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

from models.ranker.gsu import PADDING, search_latest
from models.ranker.histories import Histories, Int32s, Int64s

LAST = 50  # positive items that represent a user, and among which a pair is searched for
TEMPERATURE = 0.2
SCORES_AT_ONCE = 8_000_000  # in memory
Progress = Callable[[int, int], None]  # batches done, batches in all


@dataclass(frozen=True)
class Positives:
    """Positive events: in row r, user[r] acts on item target[r].

    histories  of all users
    user       [rows] int64 index of the user
    target     [rows] int64 index of the item
    end        [rows] int64 where the history before the event ends, from Histories.ends
    ts         [rows] int64 microseconds since 1970
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
        """The last items [rows, LAST] before each row, newest first, then PADDING."""
        return search_latest(self.histories, self.user[rows], self.end[rows], k=LAST).items

    def sorted_by_time(self) -> "Positives":
        """The same rows from the earliest to the latest; the result does not depend on their order before."""
        return self.take(np.lexsort((self.end, self.target, self.user, self.ts)))


class TwoTower(nn.Module):
    """Unit vectors of users and items; the larger their inner product, the likelier the user acts on the item.

    n_items  how many items have an index
    dim      of all vectors
    seed     of the initial weights
    """

    def __init__(self, *, n_items: int, dim: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.ids = nn.Embedding(n_items, dim, sparse=True)  # a step changes only the rows that it reads
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
        """Unit vectors [batch, dim] of users, from their last items.

        history  [batch, n <= LAST] int64, newest first, PADDING after the oldest; at least one item
        """
        padding = history == PADDING
        distinct, place = torch.unique(history.clamp(min=0), return_inverse=True)
        items = self.ids(distinct)
        score = F.embedding(place, self.weight(items)).squeeze(2) + self.recency[: history.shape[1]]
        share = score.masked_fill(padding, -torch.inf).softmax(dim=1)
        pooled = torch.einsum("bn,bnd->bd", share, F.embedding(place, items))
        return F.normalize(pooled + self.mix(pooled), dim=1)


def softmax_loss(users: Tensor, items: Tensor, target: Tensor, log_q: Tensor) -> Tensor:
    """Mean cross-entropy of each user's target item among the items of the batch.

    A popular item is a negative more often than its share of the catalogue. Its score is lowered by log_q to correct
    this. Another occurrence of a row's target in the batch is not a negative.

    users, items  [batch, dim] unit vectors
    target        [batch] int64 the items' indices
    log_q         [batch] log of the share of training rows that have this target
    """
    logits = users @ items.T / TEMPERATURE - log_q
    is_repeat = target.unsqueeze(1) == target.unsqueeze(0)
    is_repeat.fill_diagonal_(False)
    return F.cross_entropy(logits.masked_fill(is_repeat, -torch.inf), torch.arange(len(target), device=target.device))


def split_by_time(data: Positives, share: float) -> tuple[Positives, Positives]:
    """The earlier rows and the latest `share` of them."""
    ordered, split = data.sorted_by_time(), len(data) - int(len(data) * share)
    return ordered.take(np.arange(split)), ordered.take(np.arange(split, len(data)))


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
    """Train the model in place on rows that all have a history.

    The order of the rows does not matter. The same model, data, seed and number of threads give the same weights. The
    cost of a step depends on its batch, not on the number of items.

    returns  the mean loss of each epoch
    """
    data, device = data.sorted_by_time(), model.recency.device
    counts = torch.from_numpy(np.bincount(data.target, minlength=model.ids.num_embeddings)).to(device)
    log_q = (counts / len(data)).log()
    dense = [weights for name, weights in model.named_parameters() if name != "ids.weight"]
    optimizers = [torch.optim.SparseAdam([model.ids.weight], lr=lr), torch.optim.Adam(dense, lr=lr)]
    rng, batches = np.random.default_rng(seed), math.ceil(len(data) / batch_size)
    losses = []
    for epoch in range(epochs):
        order, total = rng.permutation(len(data)), torch.zeros((), device=device)
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
def item_vectors(model: TwoTower) -> Tensor:
    """Unit vectors [n_items, dim] float32 of all items."""
    return F.normalize(model.ids.weight, dim=1)


@torch.no_grad()
def hit_rate(model: TwoTower, data: Positives, *, k: int) -> float:
    """Share of rows whose target is among the k items with the highest scores of all items; NaN without rows.

    An item that scores as high as the target comes before the target.
    """
    items, hits = item_vectors(model), 0
    size = max(1, SCORES_AT_ONCE // len(items))
    for start in range(0, len(data), size):
        rows = slice(start, start + size)
        scores = model.users(torch.from_numpy(data.history(rows)).long().to(items.device)) @ items.T
        target_scores = scores.gather(1, torch.from_numpy(data.target[rows]).to(items.device).unsqueeze(1))
        hits += int(((scores >= target_scores).sum(dim=1) <= k).sum())
    return hits / len(data) if len(data) else math.nan


def popularity_hit_rate(earlier: Positives, later: Positives, *, n_items: int, k: int) -> float:
    """The hit_rate of the later rows if every user got the k most frequent targets of the earlier rows."""
    counts = np.bincount(earlier.target, minlength=n_items)
    at_least_as_frequent = n_items - np.searchsorted(np.sort(counts), counts[later.target])
    return float((at_least_as_frequent <= k).mean()) if len(later) else math.nan
