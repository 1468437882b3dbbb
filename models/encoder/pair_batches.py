"""Which items are trained on together: small groups of partners, many groups in a batch."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
GROUP = 6  # items of a group; most of them have several partners in their batch


class Partners:
    """Which items are paired with each other.

    pairs  [pairs, 2] item indices; order within a pair and repeats do not matter
    items  how many items there are
    """

    def __init__(self, pairs: Int64s, items: int) -> None:
        both = np.unique(np.concatenate([pairs, pairs[:, ::-1]]), axis=0) if len(pairs) else pairs.reshape(0, 2)
        both = both[both[:, 0] != both[:, 1]]
        self.items = items
        self.start = np.searchsorted(both[:, 0], np.arange(items + 1))
        self.partner: Int64s = both[:, 1]

    def partners_of(self, item: int) -> Int64s:
        """The partners of an item."""
        partners: Int64s = self.partner[self.start[item] : self.start[item + 1]]
        return partners

    def partners_of_each(self, items: Int64s) -> tuple[Int64s, Int64s]:
        """All partners of several items: the item's index in `items`, and the partner, for each of them."""
        counts = self.start[items + 1] - self.start[items]
        rows = np.repeat(np.arange(len(items)), counts)
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return rows, self.partner[np.repeat(self.start[items], counts) + offsets]

    def matrix(self, items: Int64s) -> NDArray[np.bool_]:
        """[items, items] whether two of these items are partners; no item may occur twice."""
        place = np.full(self.items, -1)
        place[items] = np.arange(len(items))
        rows, partners = self.partners_of_each(items)
        columns = place[partners]
        are_partners = np.zeros((len(items), len(items)), bool)
        are_partners[rows[columns >= 0], columns[columns >= 0]] = True
        return are_partners


def draw_batches(partners: Partners, *, items_per_batch: int, seed: int, epoch: int) -> Iterator[Int64s]:
    """Yield the batches of an epoch: item indices [at most items_per_batch], ascending, each item once.

    Every item with a partner occurs in the epoch, most of them once. Another epoch has other groups.
    """
    rng = np.random.default_rng([seed, epoch])
    batch: list[int] = []
    for group in _draw_groups(partners, rng):
        if batch and len(batch) + len(group) > items_per_batch:
            yield np.unique(batch)
            batch = []
        batch += group
    if len(batch) > 1:
        yield np.unique(batch)


def _draw_groups(partners: Partners, rng: np.random.Generator) -> list[list[int]]:
    """Each item with some of its partners that are in no group yet, or else with any one of them; in random order."""
    is_free = np.diff(partners.start) > 0
    groups = []
    for item in rng.permutation(np.flatnonzero(is_free)):
        if is_free[item]:
            others = partners.partners_of(item)
            chosen = others[is_free[others]] if is_free[others].any() else rng.choice(others, 1)
            chosen = rng.permutation(chosen)[: GROUP - 1]
            is_free[item] = False
            is_free[chosen] = False
            groups.append([int(item), *map(int, chosen)])
    return [groups[number] for number in rng.permutation(len(groups))]
