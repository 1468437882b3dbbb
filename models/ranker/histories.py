"""All users' histories, stored once per user; a sample only holds where its history ends."""

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
EventPart = tuple[Ints, Ints, Ints, Ints, Ints]  # users, ts, seq, items and types of some events
Empty = Callable[[int, np.dtype[Any]], NDArray[Any]]  # an array of so many numbers
EVENTS_AT_ONCE = 1 << 21  # that are sorted in memory


@dataclass(frozen=True)
class Histories:
    """Events of every user in the order they happened: user u owns [offsets[u], offsets[u + 1]).

    offsets  [users + 1] int64
    items    [events] int32
    ts       [events] int64, microseconds since 1970, ascending within a user
    kinds    [events] int8, the type of each event, where they are told apart
    empty    makes further arrays of as many events, which may be files
    """

    offsets: Int64s
    items: Int32s
    ts: Int64s
    kinds: Int8s | None = None
    empty: Empty = np.empty

    @classmethod
    def from_arrays(
        cls, users: Ints, items: Ints, ts: Ints, n_users: int, seq: Ints | None = None, kinds: Ints | None = None
    ) -> "Histories":
        """Sort events [events] into histories; the order they come in does not matter.

        Events of one user at the same microsecond are ordered by seq (the log's own order), then by item and type.
        raises   ValueError if lengths differ or a user or item index is out of range
        """
        seq = np.zeros(len(ts), np.int64) if seq is None else seq
        if not len(users) == len(items) == len(ts) == len(seq):
            raise ValueError(f"users, items, ts and seq differ in length: {[len(x) for x in (users, items, ts, seq)]}")
        if len(users) and (users.min() < 0 or users.max() >= n_users):
            raise ValueError(f"a user index is outside [0, {n_users})")
        counts = np.bincount(users, minlength=n_users)
        told = np.zeros(len(ts), np.int8) if kinds is None else kinds
        found = cls.from_parts(counts, [(users, ts, seq, items, told)])
        return found if kinds is not None else replace(found, kinds=None)

    @classmethod
    def from_parts(cls, counts: Ints, parts: Iterable[EventPart], empty: Empty = np.empty) -> "Histories":
        """The same of events that come in parts, in any order, none of which is kept.

        counts   [users], events of each
        parts    users, ts, seq, items and types [part]
        empty    arrays to fill: the histories need not fit in memory where these are files
        raises   ValueError if there are other events than were counted, or an item index is negative
        """
        columns = [empty(int(counts.sum()), np.dtype(kind)) for kind in (np.int64, np.int64, np.int32, np.int8)]
        offsets = by_key(counts, parts, columns)
        ts, _, items, types = columns
        if len(items) and items.min() < 0:
            raise ValueError("an item index is negative")
        return cls(offsets, items, ts, types, empty)

    def ends(self, users: Ints, until: Ints) -> Int64s:
        """Where each sample's history ends: after its user's last event strictly before `until`.

        users    [samples], index of the user
        until    [samples], microseconds since 1970
        returns  [samples] int64, so that the history is items[offsets[user]:end]
        """
        low, high = self.offsets[users].copy(), self.offsets[users + 1].copy()
        while (open_ := low < high).any():
            middle = (low + high) // 2
            before = open_ & (self.ts[np.where(open_, middle, 0)] < until)
            low = np.where(before, middle + 1, low)
            high = np.where(open_ & ~before, middle, high)
        return low

    def lengths(self, users: Ints, ends: Int64s) -> Int64s:
        """How many events [samples] lie before each end."""
        return ends - self.offsets[users]

    def only(self, kind: int) -> tuple["Histories", Int64s]:
        """The events of one type, without their moments, and where each stands [events of it], ascending.

        raises  ValueError if the histories do not tell types apart
        """
        if self.kinds is None:
            raise ValueError("the histories do not tell types of events apart")
        if kind not in self._own:
            parts = [slice(at, at + EVENTS_AT_ONCE) for at in range(0, len(self.items), EVENTS_AT_ONCE)]
            counts = [int(np.count_nonzero(self.kinds[part] == kind)) for part in parts]
            place, items = (self.empty(sum(counts), np.dtype(of)) for of in (np.int64, np.int32))
            for part, stop, count in zip(parts, np.cumsum(counts), counts, strict=True):
                place[stop - count : stop] = part.start + np.flatnonzero(self.kinds[part] == kind)
                items[stop - count : stop] = self.items[place[stop - count : stop]]
            offsets = np.searchsorted(place, self.offsets)
            self._own[kind] = Histories(offsets, items, np.zeros(0, np.int64), empty=self.empty), place
        return self._own[kind]

    @cached_property
    def _own(self) -> dict[int, tuple["Histories", Int64s]]:
        return {}

    @cached_property
    def again(self) -> Int64s:
        """Where each event's item happens to the same user once more [events], the number of events: never."""
        following = self.empty(len(self.items), np.dtype(np.int64))
        following[:] = len(self.items)
        for users, events in stretches(self.offsets):
            items = self.items[events]
            order = np.lexsort((items, users))  # stable: an item's events stay in their order
            same = (np.diff(users[order]) == 0) & (np.diff(items[order]) == 0)
            following[events.start + order[:-1][same]] = events.start + order[1:][same]
        return following


def stretches(offsets: Int64s) -> Iterator[tuple[Int64s, slice]]:
    """Keys with about EVENTS_AT_ONCE events in all: the key of each of these, and where they are."""
    at = np.searchsorted(offsets, np.arange(0, offsets[-1], EVENTS_AT_ONCE))
    for begin, stop in pairwise(np.unique([0, *at, len(offsets) - 1]).tolist()):
        keys = np.repeat(np.arange(begin, stop), np.diff(offsets[begin : stop + 1]))
        yield keys, slice(int(offsets[begin]), int(offsets[stop]))


def by_key(counts: Ints, parts: Iterable[tuple[Ints, ...]], columns: list[NDArray[Any]]) -> Int64s:
    """Fill columns [events] with the values of parts, sorted by their keys, within a key by the columns.

    counts   [keys], events of each
    parts    keys and a value for each column [part], in any order
    returns  where each key begins [keys + 1]
    raises   ValueError if there are other events than were counted
    """
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    free = offsets[:-1].copy()
    for keys, *values in parts:
        order = np.argsort(keys, kind="stable")
        some, first, each = np.unique(keys[order], return_index=True, return_counts=True)
        if (free[some] + each > offsets[some + 1]).any():
            raise ValueError("there are more events than were counted")
        place = np.repeat(free[some] - first, each) + np.arange(len(keys))
        for column, value in zip(columns, values, strict=True):
            column[place] = value[order]
        free[some] += each
    if (free < offsets[1:]).any():
        raise ValueError("there are fewer events than were counted")
    for keys, here in stretches(offsets):
        order = np.lexsort((*(column[here] for column in columns[::-1]), keys))
        for column in columns:
            column[here] = column[here][order]
    return offsets
