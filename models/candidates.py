"""Which items are worth ranking for a user: pairs and neighbours of the last items, generated items, popular items."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.ranker.histories import Histories, Ints

Int64s = NDArray[np.int64]
Bools = NDArray[np.bool_]
# Reciprocal rank fusion (Cormack et al., SIGIR 2009): an item of rank r gets 1 / (OFFSET + r) from each list. 60 in the
# paper; 10 was better on the first simulated day.
OFFSET = 10


class Lists(NamedTuple):
    """The items of each key, best first: key k has items[offsets[k]:offsets[k + 1]]."""

    offsets: Int64s
    items: Ints

    @classmethod
    def from_pairs(cls, keys: Int64s, items: Int64s, n_keys: int) -> "Lists":
        """From (key, item) [pairs]. The items of a key stay in their order."""
        offsets = np.concatenate([[0], np.cumsum(np.bincount(keys, minlength=n_keys))])
        return cls(offsets, items[np.argsort(keys, kind="stable")])

    def take(self, keys: Int64s, last: int | None = None) -> "Pool":
        """All items, or the last few, of some keys. Row n is of keys[n]."""
        stops = self.offsets[keys + 1]
        starts = self.offsets[keys] if last is None else np.maximum(self.offsets[keys], stops - last)
        rows, places = _count_up(stops - starts)
        return Pool(rows, self.items[starts[rows] + places].astype(np.int64))


class Pool(NamedTuple):
    """Items [items] for users in rows [items]. Rows ascend; within a row the best item comes first."""

    rows: Int64s
    items: Int64s

    def where(self, is_kept: Bools) -> "Pool":
        return Pool(self.rows[is_kept], self.items[is_kept])

    def keys(self, n_items: int) -> Int64s:
        """row * n_items + item: the same number for the same item of the same row."""
        return self.rows * n_items + self.items


class Candidates(NamedTuple):
    """Items to rank for some users.

    rows     [candidates] place of the user, ascending
    items    [candidates] item indices
    sources  [candidates] which sources have the item: bit n is set if the source of number n has it
    votes    [candidates] float64, the sum of 1 / (OFFSET + rank) over the sources of `generated` that have the item
    """

    rows: Int64s
    items: Int64s
    sources: Int64s
    votes: NDArray[np.float64]


@dataclass(frozen=True)
class CandidateSources:
    """Where candidates come from.

    Sources are numbered: pairs 0, neighbours 1, those of `generated` from 2 on, popular items last.

    pairs         related items of each item
    neighbours    [items, n], most similar first, filled up with -1
    generated     for each further source the items of each user
    popular       items, most popular first
    triggers      how many of a user's last events bring their pairs and neighbours
    count         most candidates of a user
    exclude_seen  leave out items of the user's history
    """

    pairs: Lists
    neighbours: Int64s
    generated: Sequence[Lists]
    popular: Int64s
    triggers: int
    count: int
    exclude_seen: bool

    def find(self, histories: Histories, users: Int64s) -> Candidates:
        """The candidates of some users, all different. The sources take turns.

        First comes the best item of each source in the order of their numbers, then the second best of each.
        """
        n_items, events = len(self.neighbours), Lists(histories.offsets, histories.items)
        seen = np.unique(events.take(users).keys(n_items))
        triggers = np.unique(events.take(users, self.triggers).keys(n_items))
        pools = [
            self._take_related(*np.divmod(triggers, n_items)),
            self._take_neighbours(*np.divmod(triggers, n_items)),
            *(lists.take(users) for lists in self.generated),
            self._take_popular(np.bincount(seen // n_items, minlength=len(users))),
        ]
        excluded = seen if self.exclude_seen else seen[:0]
        return self._take_turns([_keep_best(pool, n_items, excluded, self.count) for pool in pools])

    def _take_related(self, rows: Int64s, items: Int64s) -> Pool:
        related = self.pairs.take(items)
        return Pool(rows[related.rows], related.items)

    def _take_neighbours(self, rows: Int64s, items: Int64s) -> Pool:
        """The nearest of every trigger of a row before the second nearest of any."""
        near = self.neighbours[items]
        places = np.broadcast_to(np.arange(near.shape[1]), near.shape)
        order = np.lexsort((places.ravel(), np.repeat(rows, near.shape[1])))
        pool = Pool(np.repeat(rows, near.shape[1])[order], near.ravel()[order])
        return pool.where(pool.items >= 0)

    def _take_popular(self, n_seen: Int64s) -> Pool:
        """As many for each row that `count` remain without the items that its user has seen."""
        rows, places = _count_up(np.minimum(self.count + n_seen, len(self.popular)))
        return Pool(rows, self.popular[places])

    def _take_turns(self, pools: list[Pool]) -> Candidates:
        n_items, n_pools = len(self.neighbours), len(pools)
        keys = np.concatenate([pool.keys(n_items) for pool in pools])
        source = np.repeat(np.arange(n_pools), [len(pool.rows) for pool in pools])
        place = np.concatenate([_places(pool.rows) for pool in pools])
        keys, turns, starts = _sort_by_key(keys, place * n_pools + source)
        place, source = np.divmod(turns, n_pools)
        has_vote = (source >= 2) & (source < 2 + len(self.generated))
        votes = np.where(has_vote, 1 / (OFFSET + 1 + place), 0.0)
        rows, items = np.divmod(keys[starts], n_items)
        _, order, _ = _sort_by_key(rows * (place.max(initial=0) + 1) * n_pools + turns[starts], np.arange(len(starts)))
        order = order[_places(rows[order]) < self.count]
        if len(starts):  # reduceat refuses empty arrays
            source, votes = np.bitwise_or.reduceat(1 << source, starts), np.add.reduceat(votes, starts)
        return Candidates(rows[order], items[order], source[order], votes[order])


def _count_up(counts: Int64s) -> tuple[Int64s, Int64s]:
    """For counts [2, 3]: rows [0, 0, 1, 1, 1] and places [0, 1, 0, 1, 2]."""
    rows = np.repeat(np.arange(len(counts)), counts)
    return rows, np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)


def _places(rows: Int64s) -> Int64s:
    """The place of each entry within its row, from 0; rows ascend."""
    return _count_up(np.bincount(rows))[1]


def _sort_by_key(keys: Int64s, order: Int64s) -> tuple[Int64s, Int64s, Int64s]:
    """Sort by key, and within a key by `order`, both 0 or more. Returns both, and where each key begins.

    Both are sorted as one number, because np.sort is several times as fast as np.argsort.

    raises  ValueError if both do not fit into 63 bits
    """
    bits = int(order.max(initial=0)).bit_length()
    if bits + int(keys.max(initial=0)).bit_length() > 63:
        raise ValueError("too many users at once: their candidates cannot be numbered")
    packed = np.sort(keys << bits | order)
    keys, order = packed >> bits, packed & ((1 << bits) - 1)
    return keys, order, np.flatnonzero(np.diff(keys, prepend=-1))


def _keep_best(pool: Pool, n_items: int, excluded: Int64s, count: int) -> Pool:
    """The first `count` different items of each row, each at its first place, without the excluded keys."""
    keys = np.concatenate([excluded, pool.keys(n_items)])
    order = np.arange(len(keys))
    order[: len(excluded)] = 0
    order[len(excluded) :] -= len(excluded) - 1  # those of the pool count from 1
    _, order, starts = _sort_by_key(keys, order)
    first = np.sort(order[starts])
    kept = first[np.searchsorted(first, 1) :] - 1
    pool = Pool(pool.rows[kept], pool.items[kept])
    return pool.where(_places(pool.rows) < count)
