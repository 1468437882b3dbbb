"""Tables that rebuild vectors from codes: a row for each code of each level, summed.

The centroids that codes are found with are fitted level by level, each blind to the next. Given the codes, the rows
that rebuild best are a least-squares problem over all levels, solved here by turns.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

_ROUNDS = 8
_PRIOR = 4.0  # items


def decode_tables(x: Tensor, weights: Tensor, codes: Tensor, start: Sequence[Tensor]) -> list[Tensor]:
    """Fit the tables; a row is held where it started as if by a few items that wanted it there.

    x        [items, dim] float64
    weights  [items] how often each item counts
    codes    [items, levels] int64
    start    per level [codes, dim] float64
    returns  per level [codes, dim] float32 numbers held as float64
    """
    tables = [table.clone() for table in start]
    left = x - rebuild(tables, codes)  # what is not rebuilt yet
    weights = weights.to(x.dtype)
    for _ in range(_ROUNDS):
        for level in reversed(range(len(tables))):
            table, mine = tables[level], codes[:, level]
            mass = torch.zeros(len(table), dtype=x.dtype).index_add_(0, mine, weights)
            missing = torch.zeros_like(table).index_add_(0, mine, left * weights[:, None])
            step = (missing + _PRIOR * (start[level] - table)) / (mass + _PRIOR)[:, None]
            table += step
            left -= step[mine]
    return [table.float().double() for table in tables]


def rebuild(tables: Sequence[Tensor], codes: Tensor) -> Tensor:
    """Vectors [items, dim] of codes [items, levels]."""
    found = tables[0][codes[:, 0]]
    for level, table in enumerate(tables[1:], start=1):
        found = found + table[codes[:, level]]
    return found
