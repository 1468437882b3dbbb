"""Arrays in temporary files."""

import numpy as np

from models.arrays_in_files import join_in_files

KINDS = (np.dtype(np.int32), np.dtype(np.int64))


def test_parts_are_joined_and_can_be_changed() -> None:
    parts = [(np.arange(6)[::2], np.arange(3) + 2**40), (np.zeros(0), np.zeros(0)), (np.array([7]), np.array([8]))]
    numbers, times = join_in_files(iter(parts), KINDS)
    assert (numbers.dtype, times.dtype) == KINDS
    assert numbers.tolist() == [0, 2, 4, 7]
    assert times.tolist() == [2**40, 2**40 + 1, 2**40 + 2, 8]
    numbers += 1
    assert numbers.tolist() == [1, 3, 5, 8]


def test_no_parts_are_empty_arrays() -> None:
    assert [(len(column), column.dtype) for column in join_in_files([], KINDS)] == [(0, kind) for kind in KINDS]
