"""Sorts events that come in parts and need not fit in memory by their key, such as their user."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer]
Int64s = NDArray[np.int64]
EVENTS_AT_ONCE = 1 << 21  # sorted in memory at a time


def split_into_ranges(offsets: Int64s) -> Iterator[tuple[Int64s, slice]]:
    """Split events sorted by key into ranges of about EVENTS_AT_ONCE, each with whole keys.

    yields  the key of each event in the range, and the range
    """
    at = np.searchsorted(offsets, np.arange(0, offsets[-1], EVENTS_AT_ONCE))
    for first, stop in pairwise(np.unique([0, *at, len(offsets) - 1]).tolist()):
        keys = np.repeat(np.arange(first, stop), np.diff(offsets[first : stop + 1]))
        yield keys, slice(int(offsets[first]), int(offsets[stop]))


def sort_by_key(counts: Ints, parts: Iterable[tuple[Ints, ...]], columns: list[NDArray[Any]]) -> Int64s:
    """Fill columns [events] with the values of all parts, sorted by key, and within a key by the columns.

    counts   [keys], number of events of each key
    parts    keys, and a value for each column [part], in any order
    returns  where each key begins [keys + 1]
    raises   ValueError if the events do not match the counts
    """
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    free = offsets[:-1].copy()  # the next free place of each key
    for keys, *values in parts:
        order = np.argsort(keys, kind="stable")
        part_keys, first, key_counts = np.unique(keys[order], return_index=True, return_counts=True)
        if (free[part_keys] + key_counts > offsets[part_keys + 1]).any():
            raise ValueError("there are more events than were counted")
        places = np.repeat(free[part_keys] - first, key_counts) + np.arange(len(keys))
        for column, value in zip(columns, values, strict=True):
            column[places] = value[order]
        free[part_keys] += key_counts
    if (free < offsets[1:]).any():
        raise ValueError("there are fewer events than were counted")
    for keys, events in split_into_ranges(offsets):
        order = np.lexsort((*(column[events] for column in columns[::-1]), keys))
        for column in columns:
            column[events] = column[events][order]
    return offsets
