"""The histories of all users. Each is stored once per user; a sample only stores where its history ends."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer]
Int64s = NDArray[np.int64]
Int32s = NDArray[np.int32]
Int8s = NDArray[np.int8]
EventPart = tuple[Ints, Ints, Ints, Ints, Ints]  # user, ts, seq, item and kind of some events
Allocate = Callable[[int, np.dtype[Any]], NDArray[Any]]  # makes an array of that length and type
EVENTS_AT_ONCE = 1 << 21  # sorted in memory at a time


@dataclass(frozen=True)
class Histories:
    """Events of every user in the order they happened. User u has the events [offsets[u], offsets[u + 1]).

    offsets   [users + 1] int64
    items     [events] int32
    ts        [events] int64, microseconds since 1970, ascending within a user
    kinds     [events] int8, the type of each event; None if types are not distinguished
    allocate  makes further arrays of as many events, in memory or in files
    """

    offsets: Int64s
    items: Int32s
    ts: Int64s
    kinds: Int8s | None = None
    allocate: Allocate = np.empty

    @classmethod
    def from_arrays(
        cls, users: Ints, items: Ints, ts: Ints, n_users: int, seq: Ints | None = None, kinds: Ints | None = None
    ) -> "Histories":
        """Sort events [events] into histories. The order of the input does not matter.

        Events of one user at the same microsecond are ordered by seq (the order of the log), then by item and kind.
        raises   ValueError if lengths differ or a user or item index is out of range
        """
        seq = np.zeros(len(ts), np.int64) if seq is None else seq
        if not len(users) == len(items) == len(ts) == len(seq):
            raise ValueError(f"users, items, ts and seq differ in length: {[len(x) for x in (users, items, ts, seq)]}")
        if len(users) and (users.min() < 0 or users.max() >= n_users):
            raise ValueError(f"a user index is outside [0, {n_users})")
        counts = np.bincount(users, minlength=n_users)
        part = (users, ts, seq, items, np.zeros(len(ts), np.int8) if kinds is None else kinds)
        histories = cls.from_parts(counts, [part])
        return histories if kinds is not None else replace(histories, kinds=None)

    @classmethod
    def from_parts(cls, counts: Ints, parts: Iterable[EventPart], allocate: Allocate = np.empty) -> "Histories":
        """Sort events that come in parts, in any order. No part stays in memory.

        counts    [users], number of events of each user
        parts     users, ts, seq, items and kinds [part]
        allocate  makes the arrays of the histories; if these are files, the histories need not fit in memory
        raises    ValueError if the events do not match the counts, or an item index is negative
        """
        columns = [allocate(int(counts.sum()), np.dtype(dtype)) for dtype in (np.int64, np.int64, np.int32, np.int8)]
        offsets = sort_by_key(counts, parts, columns)
        ts, _, items, kinds = columns
        if len(items) and items.min() < 0:
            raise ValueError("an item index is negative")
        return cls(offsets, items, ts, kinds, allocate)

    def ends(self, users: Ints, until: Ints) -> Int64s:
        """Where each sample's history ends: after its user's last event strictly before `until`.

        users    [samples], index of the user
        until    [samples], microseconds since 1970
        returns  [samples] int64: the history is items[offsets[user]:end]
        """
        low, high = self.offsets[users].copy(), self.offsets[users + 1].copy()
        while (is_open := low < high).any():
            middle = (low + high) // 2
            before = is_open & (self.ts[np.where(is_open, middle, 0)] < until)
            low = np.where(before, middle + 1, low)
            high = np.where(is_open & ~before, middle, high)
        return low

    def lengths(self, users: Ints, ends: Int64s) -> Int64s:
        """Number of events [samples] before each end."""
        return ends - self.offsets[users]

    def select_kind(self, kind: int) -> tuple["Histories", Int64s]:
        """The histories of one kind of event, without times, and the position of each event [its events] in these.

        Positions ascend.
        raises  ValueError if these histories do not distinguish kinds
        """
        if self.kinds is None:
            raise ValueError("the histories do not distinguish types of events: build them with kinds")
        if kind not in self._by_kind:
            parts = [slice(start, start + EVENTS_AT_ONCE) for start in range(0, len(self.items), EVENTS_AT_ONCE)]
            counts = [int(np.count_nonzero(self.kinds[part] == kind)) for part in parts]
            positions, items = (self.allocate(sum(counts), np.dtype(dtype)) for dtype in (np.int64, np.int32))
            for part, stop, count in zip(parts, np.cumsum(counts), counts, strict=True):
                positions[stop - count : stop] = part.start + np.flatnonzero(self.kinds[part] == kind)
                items[stop - count : stop] = self.items[positions[stop - count : stop]]
            offsets = np.searchsorted(positions, self.offsets)
            self._by_kind[kind] = Histories(offsets, items, np.zeros(0, np.int64), allocate=self.allocate), positions
        return self._by_kind[kind]

    @cached_property
    def _by_kind(self) -> dict[int, tuple["Histories", Int64s]]:
        return {}

    @cached_property
    def next_occurrence(self) -> Int64s:
        """For each event [events] the user's next event with the same item; the number of events if there is none."""
        following = self.allocate(len(self.items), np.dtype(np.int64))
        following[:] = len(self.items)
        for users, events in split_into_ranges(self.offsets):
            items = self.items[events]
            order = np.lexsort((items, users))  # stable: the events of an item stay in their order
            same = (np.diff(users[order]) == 0) & (np.diff(items[order]) == 0)
            following[events.start + order[:-1][same]] = events.start + order[1:][same]
        return following


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
