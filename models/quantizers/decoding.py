"""Tables that rebuild vectors from codes: one row for each code of each level. The sum of an item's rows is its vector.

The centroids that encode items are fitted level by level, each without knowing the next. Once all codes are known, the
rows that rebuild the vectors best are a least-squares problem over all levels. It is solved one level at a time, again
and again.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

_ROUNDS = 8
_PRIOR = 4.0  # a row is pulled to where it started as if by this many items
_ROWS = 1 << 14  # read at once


def fit_decode_tables(residual: Tensor, weights: Tensor, codes: Tensor, start: Sequence[Tensor]) -> list[Tensor]:
    """Fit the tables.

    residual  [items, dim] float32, what the tables of `start` do not rebuild; changed in place, may be mapped from a
              file
    weights   [items] how often each item counts
    codes     [items, levels] int64
    start     per level [codes, dim] float64
    returns   per level [codes, dim] float32 numbers held as float64
    """
    tables = [table.clone() for table in start]
    mass = [
        torch.zeros(len(table), dtype=torch.float64).index_add_(0, codes[:, level], weights.double())
        for level, table in enumerate(tables)
    ]
    for turn in range(_ROUNDS * len(tables)):
        level = len(tables) - 1 - turn % len(tables)
        table, level_codes = tables[level], codes[:, level]
        missing = torch.zeros_like(table)
        chunks = zip(*(torch.split(column, _ROWS) for column in (residual, level_codes, weights)), strict=True)
        for rows, row_codes, row_weights in chunks:
            missing.index_add_(0, row_codes, rows.double() * row_weights[:, None])
        step = (missing + _PRIOR * (start[level] - table)) / (mass[level] + _PRIOR)[:, None]
        table += step
        for rows, row_codes in zip(torch.split(residual, _ROWS), torch.split(level_codes, _ROWS), strict=True):
            rows -= step[row_codes].float()
    return [table.float().double() for table in tables]


def rebuild(tables: Sequence[Tensor], codes: Tensor) -> Tensor:
    """Rebuild vectors [items, dim] from codes [items, levels]."""
    vectors = tables[0][codes[:, 0]]
    for level, table in enumerate(tables[1:], start=1):
        vectors = vectors + table[codes[:, level]]
    return vectors
