"""The codes of the live items as a trie: which codes can follow a prefix, and which item a whole path belongs to."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

TABLE_CELLS = 2**24  # a level whose table would be larger has lists only: 64 MiB


@dataclass(frozen=True)
class Children:
    """The children of all nodes of one depth. Node v has the children [offsets[v], offsets[v + 1]) of the next depth.

    size     number of codes of this level: the largest code that an item has, plus 1
    offsets  [nodes + 1] int32
    codes    [children] int32, the code that leads to each child, ascending within a node
    parents  [children] int32, the node that leads to each child
    table    [nodes, size] int32, the child by its code, -1 where there is none; None where the lists are enough
    """

    size: int
    offsets: Tensor
    codes: Tensor
    parents: Tensor
    table: Tensor | None

    def list_children(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """All children of nodes [n], in order: the row in `nodes` and the child, each [pairs] int64."""
        begins = self.offsets[nodes].long()
        counts = self.offsets[nodes + 1] - begins
        ends = counts.cumsum(0)
        pairs = int(ends[-1]) if len(nodes) else 0
        rows = torch.repeat_interleave(counts, output_size=pairs)
        return rows, torch.arange(pairs, device=nodes.device) + (begins - ends + counts)[rows]

    def to(self, device: torch.device | str) -> Self:
        table = None if self.table is None else self.table.to(device)
        offsets, codes, parents = (part.to(device) for part in (self.offsets, self.codes, self.parents))
        return type(self)(self.size, offsets, codes, parents, table)


@dataclass(frozen=True)
class CodeTrie:
    """The paths of all items that have codes. Nodes are numbered per depth, in the order of their codes.

    Depth 0 is the root (node 0). A leaf is a node of depth `levels`; it belongs to exactly one item.

    children      one for each level; the first two also have tables
    item_of_leaf  [leaves] int64
    leaf_of_item  [items] int64, -1 for an item without codes
    """

    children: tuple[Children, ...]
    item_of_leaf: Tensor
    leaf_of_item: Tensor

    @classmethod
    def build(cls, codes: Tensor) -> Self:
        """Sort the codes of all items into a trie, on the device of the codes.

        codes   [items, levels] integers, a different row for each item. A row of -1 is an item without codes, or one
                that is gone: it is not in the trie
        raises  ValueError if two items share all their codes, an item has only some codes, or a code is too large
        """
        items = _find_items_with_codes(codes)
        one_child_each = torch.arange(len(items) + 1, dtype=torch.int32, device=codes.device)
        nodes, n_nodes = torch.zeros_like(items), 1  # of each item, at the current depth
        levels: list[Children] = []
        for level in range(codes.shape[1]):
            level_codes = codes[items, level].long()
            size, n_parents = int(level_codes.max()) + 1 if len(items) else 0, n_nodes
            if n_nodes == len(items):  # the order is known: from here on, each node leads to one item
                offsets = one_child_each
            else:
                keys, order = (nodes * size + level_codes).sort(stable=True)
                is_first = keys.diff(prepend=keys.new_full((1,), -1)) > 0
                offsets = _count_up(nodes[order][is_first], n_nodes)
                items, level_codes = items[order], level_codes[order][is_first]
                nodes, n_nodes = is_first.cumsum(0) - 1, len(level_codes)
            child_codes = level_codes.int()
            parents = torch.repeat_interleave(offsets.diff()).int()
            table = _make_table(size, n_parents, parents, child_codes) if level < 2 else None
            levels.append(Children(size, offsets, child_codes, parents, table))
        _check_leaves(codes, items, nodes)
        leaf_of_item = torch.full((len(codes),), -1, dtype=torch.int64, device=codes.device)
        leaf_of_item[items] = torch.arange(len(items), device=codes.device)
        return cls(tuple(levels), items, leaf_of_item)

    @property
    def levels(self) -> int:
        return len(self.children)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of codes of each level: the largest code that an item has, plus 1."""
        return tuple(children.size for children in self.children)

    def paths(self, items: Tensor) -> Tensor:
        """The nodes on the way to items [n] that have codes: [n, levels + 1] int64, the root first."""
        nodes = [self.leaf_of_item[items]]
        for children in reversed(self.children):
            nodes.append(children.parents[nodes[-1]].long())
        return torch.stack(nodes[::-1], 1)

    def to(self, device: torch.device | str) -> Self:
        children = tuple(children.to(device) for children in self.children)
        return type(self)(children, self.item_of_leaf.to(device), self.leaf_of_item.to(device))


def _find_items_with_codes(codes: Tensor) -> Tensor:
    """The items [items with codes] int64 whose row of codes is not -1."""
    if codes.dim() != 2 or codes.shape[1] < 1:
        raise ValueError(f"codes must be [items, levels] with at least one level, not {list(codes.shape)}")
    if len(codes) and int(codes.max()) >= torch.iinfo(torch.int32).max:
        raise ValueError(f"a code must be below {torch.iinfo(torch.int32).max}, not {int(codes.max())}")
    has_code = codes >= 0
    has_codes = has_code.all(1)
    if bool((is_partial := has_code.any(1) & ~has_codes).any()):
        item = int(is_partial.nonzero()[0])
        raise ValueError(f"item {item} has only some of its codes: {codes[item].tolist()}")
    return has_codes.nonzero().squeeze(1)


def _count_up(parents: Tensor, n_nodes: int) -> Tensor:
    """Where the children of each node start [n_nodes + 1] int32, from the parent of each child, ascending."""
    offsets = torch.zeros(n_nodes + 1, dtype=torch.int32, device=parents.device)
    offsets[1:] = torch.bincount(parents, minlength=n_nodes).cumsum(0)
    return offsets


def _make_table(size: int, n_nodes: int, parents: Tensor, codes: Tensor) -> Tensor | None:
    if n_nodes * size > TABLE_CELLS:
        return None
    table = torch.full((n_nodes, size), -1, dtype=torch.int32, device=codes.device)
    table[parents, codes] = torch.arange(len(codes), dtype=torch.int32, device=codes.device)
    return table


def _check_leaves(codes: Tensor, items: Tensor, leaves: Tensor) -> None:
    """Raise ValueError if two items [items with codes] have the same leaf."""
    if bool((is_shared := leaves.diff() == 0).any()):
        place = int(is_shared.nonzero()[0])
        first, second = sorted(items[place : place + 2].tolist())
        raise ValueError(f"items {first} and {second} have the same codes {codes[first].tolist()}: number the twins")
