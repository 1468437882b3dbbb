"""Which items are worth ranking for a user: pairs and neighbours of the last items, generated items, popular items."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.ranker.histories import Histories, Ints

Int64s = NDArray[np.int64]
CHUNK = 4096
# Reciprocal rank fusion (Cormack et al., SIGIR 2009): an item of rank r gets 1 / (OFFSET + r) from each list. 60 in the
# paper; 10 was better on the first simulated day.
OFFSET = 10


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


class Candidates(NamedTuple):
    """Items to rank for a user.

    items    [candidates] item indices
    sources  [candidates] which sources have the item: bit n is set if the source of number n has it
    votes    [candidates] float64, the sum of 1 / (OFFSET + rank) over the sources of `generated` that have the item
    """

    items: Int64s
    sources: Int64s
    votes: NDArray[np.float64]


def select_candidates(
    histories: Histories,
    users: Int64s,
    *,
    pairs: tuple[Int64s, Int64s],
    neighbours: Int64s,
    generated: Sequence[Histories],
    popular: Int64s,
    triggers: int,
    count: int,
    exclude_seen: bool,
) -> Iterator[Candidates]:
    """At most `count` different items for each user in turn.

    Sources are numbered: pairs 0, neighbours 1, those of `generated` from 2 on, popular items last. They take turns:
    first the best item of each source in the order of their numbers, then the second best of each.

    users         indices of users with a history
    pairs         (item, related item) as two arrays, best first
    neighbours    [items, n], most similar first, filled up with -1
    generated     for each further source the items of each user, best first
    popular       items, most popular first
    triggers      how many of the user's last events bring their pairs and neighbours
    exclude_seen  leave out items of the user's history
    """
    order = np.argsort(pairs[0], kind="stable")
    related, items = pairs[1][order], pairs[0][order]
    for user in users:
        seen = histories.items[histories.offsets[user] : histories.offsets[user + 1]]
        last = np.unique(seen[-triggers:])
        low, high = np.searchsorted(items, last), np.searchsorted(items, last, side="right")
        paired = [related[start:stop] for start, stop in zip(low, high, strict=True)]
        near = neighbours[last].T.ravel()  # the nearest of every trigger before the second nearest of any
        made = [source.items[source.offsets[user] : source.offsets[user + 1]] for source in generated]
        pools: list[Ints] = [np.concatenate(paired), near[near >= 0], *made, popular[: count + len(seen)]]
        if exclude_seen:
            pools = [pool[~np.isin(pool, seen)] for pool in pools]
        yield _take_turns([_drop_repeats(pool)[:count] for pool in pools], count, range(2, 2 + len(made)))


def _drop_repeats(items: Ints) -> Int64s:
    """The different items, each at its first place."""
    _, first = np.unique(items, return_index=True)
    return items[np.sort(first)].astype(np.int64)


def _take_turns(pools: list[Int64s], count: int, voters: range) -> Candidates:
    """The first `count` items if the first item of each pool comes before the second of any.

    voters  numbers of the pools that vote
    """
    items = np.concatenate(pools)
    source = np.repeat(np.arange(len(pools)), [len(pool) for pool in pools])
    place = np.concatenate([np.arange(len(pool)) for pool in pools])
    order = np.lexsort((source, place))
    different, first, number = np.unique(items[order], return_index=True, return_inverse=True)
    sources = np.zeros(len(different), np.int64)
    np.bitwise_or.at(sources, number, 1 << source[order])
    has_vote = np.isin(source[order], voters)
    votes = np.zeros(len(different))
    np.add.at(votes, number[has_vote], 1 / (OFFSET + 1 + place[order][has_vote]))
    chosen = np.argsort(first)[:count]
    return Candidates(different[chosen], sources[chosen], votes[chosen])
