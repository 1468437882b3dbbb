"""The simulated shop and its users: which items exist, who likes what, and how that changes from day to day.

Apart from the item that each user clicked last, events change nothing here.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.simulator.words import BRANDS_PER_TOP, LEAVES, LEAVES_PER_MID, MIDS_PER_TOP

Int32s = NDArray[np.int32]
Floats = NDArray[np.float32]

PARTNERS = 3  # items that are bought together with an item
FAVOURITES = 4  # number of leaves that a user likes
FAVOURITE_SHARES = np.array([0.4, 0.3, 0.2, 0.1], np.float32)
DRIFT = 0.05  # chance per user and day that one favourite leaf is replaced
# How much a user who likes a leaf also likes a leaf of another top category, the same top category, the same mid
# category, and the leaf itself.
KINSHIP = np.array([0.0, 0.15, 0.4, 1.0], np.float32)


class Catalogue:
    """All items so far: leaf, brand, price, quality, popularity [items], partners [items, PARTNERS]."""

    def __init__(self) -> None:
        self.leaf: Int32s = np.empty(0, np.int32)
        self.brand: Int32s = np.empty(0, np.int32)
        self.price = np.empty(0, np.float64)
        self.quality: Floats = np.empty(0, np.float32)
        self.popularity: Floats = np.empty(0, np.float32)
        self.partners: Int32s = np.empty((0, PARTNERS), np.int32)
        self._by_leaf: Int32s = self.leaf

    def __len__(self) -> int:
        return len(self.leaf)

    def add(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Add `count` items.

        returns  their numbers [count]
        """
        first = len(self)
        leaf = rng.integers(0, len(LEAVES), count, dtype=np.int32)
        # Zipf's law by a random rank among the items so far, flattened for the first ranks
        rank = rng.permutation(count) if not first else rng.integers(0, first, count)
        self.leaf = np.concatenate([self.leaf, leaf])
        self.brand = np.concatenate([self.brand, rng.integers(0, BRANDS_PER_TOP, count, dtype=np.int32)])
        self.price = np.concatenate([self.price, np.round(np.exp(rng.normal(3, 0.8, count)) + leaf, 2)])
        self.quality = np.concatenate([self.quality, rng.normal(0, 0.7, count).astype(np.float32)])
        self.popularity = np.concatenate([self.popularity, ((rank + 20.0) ** -0.8).astype(np.float32)])
        self._index()
        partners = self.draw_in_leaf(rng.random((count, PARTNERS)), (leaf ^ 1)[:, None])
        self.partners = np.concatenate([self.partners, partners])
        return np.arange(first, len(self))

    def _index(self) -> None:
        self._by_leaf = np.argsort(self.leaf, kind="stable").astype(np.int32)
        self._mass = np.concatenate([[0.0], np.cumsum(self.popularity[self._by_leaf].astype(np.float64))])
        self._edges = np.searchsorted(self.leaf[self._by_leaf], np.arange(len(LEAVES) + 1))

    def draw_in_leaf(self, uniform: NDArray[np.float64], leaf: NDArray[Any]) -> Int32s:
        """Draw an item of the leaf by popularity, or of any leaf if the leaf is empty.

        uniform, leaf  shapes that broadcast; uniform in [0, 1)
        """
        low, high = self._mass[self._edges[leaf]], self._mass[self._edges[leaf + 1]]
        empty = low == high
        low, high = np.where(empty, 0, low), np.where(empty, self._mass[-1], high)
        place = np.searchsorted(self._mass, low + uniform * (high - low), side="right") - 1
        return self._items_at(place)

    def draw(self, uniform: NDArray[np.float64]) -> Int32s:
        """Draw an item by popularity, for each number in [0, 1)."""
        place = np.searchsorted(self._mass, uniform * self._mass[-1], side="right") - 1
        return self._items_at(place)

    def _items_at(self, place: NDArray[np.intp]) -> Int32s:
        items: Int32s = self._by_leaf[np.minimum(place, len(self) - 1)]  # rounding may step past the end
        return items


class People:
    """All users: favourite leaves [users, FAVOURITES]; brand, cumulative activity, last clicked item [users]."""

    def __init__(self, rng: np.random.Generator, count: int) -> None:
        self.favourites = rng.integers(0, len(LEAVES), (count, FAVOURITES), dtype=np.int32)
        self.brand = rng.integers(0, BRANDS_PER_TOP, count, dtype=np.int32)
        self.activity = np.cumsum(rng.lognormal(0, 0.9, count))
        self.last_click = np.full(count, -1, np.int32)

    def __len__(self) -> int:
        return len(self.brand)

    def drift(self, rng: np.random.Generator) -> None:
        """One day passes: some users swap one of their favourite leaves for another."""
        drifting = np.flatnonzero(rng.random(len(self)) < DRIFT)
        slot = rng.integers(0, FAVOURITES, len(drifting))
        self.favourites[drifting, slot] = rng.integers(0, len(LEAVES), len(drifting), dtype=np.int32)

    def affinity(self) -> Floats:
        """How much each user likes each leaf: [users, leaves] in [0, 1]."""
        leaves = np.arange(len(LEAVES))
        mid, top = leaves // LEAVES_PER_MID, leaves // (LEAVES_PER_MID * MIDS_PER_TOP)
        levels = (top[:, None] == top).astype(int) + (mid[:, None] == mid) + (leaves[:, None] == leaves)
        kinship = KINSHIP[levels]
        total = np.zeros((len(self), len(LEAVES)), np.float32)
        for slot, share in enumerate(FAVOURITE_SHARES):
            total += share * kinship[self.favourites[:, slot]]
        return total

    def draw(self, rng: np.random.Generator, count: int) -> Int32s:
        """Draw the users of `count` requests; active users come more often."""
        place = np.searchsorted(self.activity, rng.random(count) * self.activity[-1], side="right")
        users: Int32s = np.minimum(place, len(self) - 1).astype(np.int32)
        return users
