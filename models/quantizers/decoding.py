"""Tables that rebuild vectors from codes: a row for each code of each level, summed.

The centroids that codes are found with are fitted level by level, each blind to the next. Given the codes, the rows
that rebuild best are a least-squares problem over all levels, solved here by turns.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

_ROUNDS = 8
_PRIOR = 4.0  # items
_ROWS = 1 << 14  # at once


def decode_tables(left: Tensor, weights: Tensor, codes: Tensor, start: Sequence[Tensor]) -> list[Tensor]:
    """Fit the tables; a row is held where it started as if by a few items that wanted it there.

    left     [items, dim] float32, what the tables to start from do not rebuild; changed in place, may lie in a file
    weights  [items] how often each item counts
    codes    [items, levels] int64
    start    per level [codes, dim] float64
    returns  per level [codes, dim] float32 numbers held as float64
    """
    tables = [table.clone() for table in start]
    mass = [
        torch.zeros(len(table), dtype=torch.float64).index_add_(0, codes[:, level], weights.double())
        for level, table in enumerate(tables)
    ]
    for turn in range(_ROUNDS * len(tables)):
        level = len(tables) - 1 - turn % len(tables)
        table, mine = tables[level], codes[:, level]
        missing = torch.zeros_like(table)
        for part, of, weight in zip(*(torch.split(all_rows, _ROWS) for all_rows in (left, mine, weights)), strict=True):
            missing.index_add_(0, of, part.double() * weight[:, None])
        step = (missing + _PRIOR * (start[level] - table)) / (mass[level] + _PRIOR)[:, None]
        table += step
        for part, of in zip(torch.split(left, _ROWS), torch.split(mine, _ROWS), strict=True):
            part -= step[of].float()
    return [table.float().double() for table in tables]


def rebuild(tables: Sequence[Tensor], codes: Tensor) -> Tensor:
    """Vectors [items, dim] of codes [items, levels]."""
    found = tables[0][codes[:, 0]]
    for level, table in enumerate(tables[1:], start=1):
        found = found + table[codes[:, level]]
    return found
