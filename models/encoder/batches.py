"""Which items are trained on together: small groups of partners, many groups to a batch."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
GROUP = 6  # items, of which most have several partners in their batch


class Partners:
    """Who is paired with whom.

    pairs  [pairs, 2] item indices; order within a pair and repeats do not matter
    """

    def __init__(self, pairs: Ints, items: int) -> None:
        both = np.unique(np.concatenate([pairs, pairs[:, ::-1]]), axis=0) if len(pairs) else pairs.reshape(0, 2)
        both = both[both[:, 0] != both[:, 1]]
        self.items = items
        self.start = np.searchsorted(both[:, 0], np.arange(items + 1))
        self.partner: Ints = both[:, 1]

    def of(self, item: int) -> Ints:
        found: Ints = self.partner[self.start[item] : self.start[item + 1]]
        return found

    def of_each(self, items: Ints) -> tuple[Ints, Ints]:
        """Place in `items`, and partner: one of each for every partner of each item."""
        counts = self.start[items + 1] - self.start[items]
        rows = np.repeat(np.arange(len(items)), counts)
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return rows, self.partner[np.repeat(self.start[items], counts) + offsets]

    def matrix(self, items: Ints) -> NDArray[np.bool_]:
        """[items, items] whether two of the given items, each given once, are partners."""
        place = np.full(self.items, -1)
        place[items] = np.arange(len(items))
        rows, partners = self.of_each(items)
        columns = place[partners]
        found = np.zeros((len(items), len(items)), bool)
        found[rows[columns >= 0], columns[columns >= 0]] = True
        return found


def batches(partners: Partners, *, items_per_batch: int, seed: int, epoch: int) -> Iterator[Ints]:
    """Item indices [at most items_per_batch] of each batch of an epoch, each item once, in ascending order.

    Over the epoch every item that has a partner occurs, most of them once. Another epoch has other groups.
    """
    shuffle = np.random.default_rng([seed, epoch])
    batch: list[int] = []
    for group in _groups(partners, shuffle):
        if batch and len(batch) + len(group) > items_per_batch:
            yield np.unique(batch)
            batch = []
        batch += group
    if len(batch) > 1:
        yield np.unique(batch)


def _groups(partners: Partners, shuffle: np.random.Generator) -> list[list[int]]:
    """Each item with some of its partners that no group has yet, or else with any one of them; in random order."""
    free = np.diff(partners.start) > 0
    groups = []
    for item in shuffle.permutation(np.flatnonzero(free)):
        if free[item]:
            others = partners.of(item)
            mine = others[free[others]] if free[others].any() else shuffle.choice(others, 1)
            mine = shuffle.permutation(mine)[: GROUP - 1]
            free[item] = False
            free[mine] = False
            groups.append([int(item), *map(int, mine)])
    return [groups[place] for place in shuffle.permutation(len(groups))]
