"""The prefixes that lead to no item which a user may get."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.generator.trie import CodeTrie

Ints = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class DeadNodes:
    """Nodes of one depth below which a user may get no item. Each part is [pairs] int64."""

    users: Tensor
    parents: Tensor
    nodes: Tensor


def find_dead_nodes(trie: CodeTrie, users: Tensor, items: Tensor) -> list[DeadNodes]:
    """The dead nodes of depth 1 to `levels`, from excluded pairs.

    users, items  [pairs] int64, in any order; a pair may be repeated. Items that are not in the trie are skipped
    """
    leaves = trie.leaf_of_item[items]
    n_nodes = len(trie.item_of_leaf)
    keys = torch.unique((users * n_nodes + leaves)[leaves >= 0])
    depths: list[DeadNodes] = []
    for children in reversed(trie.children):
        users, nodes = keys // n_nodes, keys % n_nodes
        parents = children.parents[nodes].long()
        depths.append(DeadNodes(users, parents, nodes))
        n_nodes = len(children.offsets) - 1
        keys, dead_children = torch.unique_consecutive(users * n_nodes + parents, return_counts=True)
        keys = keys[dead_children == children.offsets.diff()[keys % n_nodes]]
    return depths[::-1]


def check_excluded(offsets: Ints, items: Ints, *, users: int, n_items: int) -> None:
    """Raise ValueError unless offsets [users + 1] split items [pairs], all of them in [0, n_items)."""
    if len(offsets) != users + 1 or offsets[0] != 0 or offsets[-1] != len(items) or (np.diff(offsets) < 0).any():
        raise ValueError(f"the offsets of the excluded items must ascend from 0 to {len(items)}, for {users} users")
    if len(items) and not 0 <= items.min() <= items.max() < n_items:
        raise ValueError(f"an excluded item is outside [0, {n_items}): {items.min()} to {items.max()}")


def split_users(offsets: Ints, *, users_at_once: int, pairs_at_once: int) -> Iterator[tuple[int, int]]:
    """Ranges of users with at most so many users and excluded pairs; a user with more pairs is a range of its own."""
    first = 0
    while first < len(offsets) - 1:
        within = int(np.searchsorted(offsets, offsets[first] + pairs_at_once, side="right")) - 1
        last = max(first + 1, min(first + users_at_once, within, len(offsets) - 1))
        yield first, last
        first = last
