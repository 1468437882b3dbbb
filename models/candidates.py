"""Which items are worth ranking for a user: neighbours of the user's last items, then popular items."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.ranker.histories import Histories

Int64s = NDArray[np.int64]
CHUNK = 4096


def find_neighbours(vectors: Tensor, count: int) -> Int64s:
    """The most similar items of every item by inner product, without the item itself.

    vectors  [items, dim] float32; an item with zeros has no vector: it has no neighbours and is no neighbour
    returns  [items, min(count, items - 1)] int64, most similar first, filled up with -1
    """
    count = min(count, len(vectors) - 1)
    if count < 1:
        return np.zeros((len(vectors), 0), np.int64)
    parts, has_no_vector = [], ~vectors.any(dim=1)
    for start in range(0, len(vectors), CHUNK):
        scores = vectors[start : start + CHUNK] @ vectors.T
        items = torch.arange(start, min(start + CHUNK, len(vectors)))
        scores[torch.arange(len(items)), items] = -torch.inf
        scores.masked_fill_(has_no_vector | has_no_vector[items].unsqueeze(1), -torch.inf)
        best = scores.topk(count, dim=1)
        parts.append(best.indices.masked_fill(best.values.isneginf(), -1))
    return torch.cat(parts).numpy()


def select_candidates(
    histories: Histories,
    users: Int64s,
    *,
    neighbours: Int64s,
    pairs: tuple[Int64s, Int64s],
    popular: Int64s,
    triggers: int,
    count: int,
    exclude_seen: bool,
) -> Iterator[Int64s]:
    """At most `count` different items for each user in turn.

    users         indices of users with a history
    neighbours    [items, n], most similar first, filled up with -1
    pairs         (item, related item) as two arrays, best first
    popular       items, most popular first
    triggers      how many of the user's last events bring their pairs and neighbours
    exclude_seen  leave out items of the user's history
    yields        item indices in the order of their sources: pairs, neighbours, popular items, more neighbours
    """
    order = np.argsort(pairs[0], kind="stable")
    related, items = pairs[1][order], pairs[0][order]
    for user in users:
        seen = histories.items[histories.offsets[user] : histories.offsets[user + 1]]
        last = np.unique(seen[-triggers:])
        low, high = np.searchsorted(items, last), np.searchsorted(items, last, side="right")
        paired = [related[start:stop] for start, stop in zip(low, high, strict=True)]
        near = neighbours[last].T.ravel()  # the nearest of every trigger before the second nearest of any
        near = near[near >= 0]
        pool = np.concatenate([*paired, near[: count // 2], popular[: count + len(seen)], near[count // 2 :]])
        if exclude_seen:
            pool = pool[~np.isin(pool, seen)]
        _, first = np.unique(pool, return_index=True)
        yield pool[np.sort(first)][:count].astype(np.int64)
