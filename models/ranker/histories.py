"""The histories of all users. Each is stored once per user; a sample only stores where its history ends."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.ranker.sorting import EVENTS_AT_ONCE, sort_by_key, split_into_ranges

Ints = NDArray[np.integer]
Int64s = NDArray[np.int64]
Int32s = NDArray[np.int32]
Int8s = NDArray[np.int8]
EventPart = tuple[Ints, Ints, Ints, Ints, Ints]  # user, ts, seq, item and kind of some events
Allocate = Callable[[int, np.dtype[Any]], NDArray[Any]]  # makes an array of that length and type


@dataclass(frozen=True)
class Histories:
    """Events of every user in the order they happened. User u has the events [offsets[u], offsets[u + 1]).

    offsets   [users + 1] int64
    items     [events] int32
    ts        [events] int64, microseconds since 1970, ascending within a user
    kinds     [events] int8, the type of each event; None if types are not distinguished
    allocate  makes further arrays of as many events, in memory or in files
    hidden_by  [events] int64, the position of the event that takes this one back, such as the cancel of a purchase;
               the number of events if there is none. None if nothing is taken back, see `take_back`
    """

    offsets: Int64s
    items: Int32s
    ts: Int64s
    kinds: Int8s | None = None
    allocate: Allocate = np.empty
    hidden_by: Int64s | None = None

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

    def take_back(self, users: Ints, items: Ints, ts: Ints, taken_back_at: Ints, kind: int) -> "Histories":
        """The same histories, in which some events [taken back] count only until they are taken back.

        For each of them the histories also hold an event of type ~kind with the same user and item, at `taken_back_at`.
        Nobody sees these. They mark where in the order of events the other event disappears.
        """
        all_items, all_kinds = self.items, self.kinds
        assert all_kinds is not None
        hidden_by = self.allocate(len(all_items), np.dtype(np.int64))
        hidden_by[:] = len(all_items)

        def find(event_kind: int, n: int) -> int:
            """The first event of that type, user, item and time that was not found before."""
            places = range(int(first_at[event_kind][n]), len(all_items))
            wanted = items[n], event_kind
            return next(p for p in places if (all_items[p], all_kinds[p]) == wanted and hidden_by[p] == len(all_items))

        first_at = {kind: self.ends(users, ts), ~kind: self.ends(users, taken_back_at)}
        for n in range(len(users)):
            event, marker = find(kind, n), find(~kind, n)
            hidden_by[event] = hidden_by[marker] = marker
        return replace(self, hidden_by=hidden_by)

    def is_hidden(self, events: Ints, ends: Ints) -> NDArray[np.bool_]:
        """Whether events do not count any more for histories that end there; the shapes are broadcast."""
        if self.hidden_by is None:
            return np.zeros(np.broadcast_shapes(events.shape, ends.shape), bool)
        return self.hidden_by[events] < ends

    def is_repeated(self, events: Ints, ends: Ints) -> NDArray[np.bool_]:
        """Whether the item of an event happens again before the history ends; the shapes are broadcast."""
        later = self.next_occurrence[events]
        if self.hidden_by is not None:
            later, ends = (part.copy() for part in np.broadcast_arrays(later, ends))
            while (
                is_skipped := (later < ends) & (self.hidden_by[np.minimum(later, len(self.items) - 1)] < ends)
            ).any():
                later[is_skipped] = self.next_occurrence[later[is_skipped]]
        return later < ends

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
        """Number of events [samples] before each end, without those that are taken back."""
        begins = self.offsets[users]
        if self.hidden_by is None:
            return ends - begins
        markers = self._markers  # each of them hides itself and one event before it
        return ends - begins - 2 * (np.searchsorted(markers, ends) - np.searchsorted(markers, begins))

    @cached_property
    def _markers(self) -> Int64s:
        """Positions of the events that take others back, ascending."""
        assert self.hidden_by is not None
        return np.flatnonzero(self.hidden_by == np.arange(len(self.hidden_by)))

    def select_kind(self, kind: int) -> tuple["Histories", Int64s]:
        """The histories of one kind of event, without times, and the position of each event [its events] in these.

        Positions ascend.
        raises  ValueError if these histories do not distinguish kinds
        """
        if self.kinds is None:
            raise ValueError("the histories do not distinguish types of events: build them with kinds")
        if kind not in self._by_kind:
            parts = [slice(start, start + EVENTS_AT_ONCE) for start in range(0, len(self.items), EVENTS_AT_ONCE)]
            counts = [int(np.count_nonzero(self._is_kind(part, kind))) for part in parts]
            positions, items = (self.allocate(sum(counts), np.dtype(dtype)) for dtype in (np.int64, np.int32))
            for part, stop, count in zip(parts, np.cumsum(counts), counts, strict=True):
                positions[stop - count : stop] = part.start + np.flatnonzero(self._is_kind(part, kind))
                items[stop - count : stop] = self.items[positions[stop - count : stop]]
            offsets = np.searchsorted(positions, self.offsets)
            hidden_by = None if self.hidden_by is None else np.searchsorted(positions, self.hidden_by[positions])
            no_times = np.zeros(0, np.int64)
            histories = Histories(offsets, items, no_times, allocate=self.allocate, hidden_by=hidden_by)
            self._by_kind[kind] = histories, positions
        return self._by_kind[kind]

    def _is_kind(self, part: slice, kind: int) -> NDArray[np.bool_]:
        """Which events are of that kind, or take back an event of that kind."""
        assert self.kinds is not None
        kinds = self.kinds[part]
        return np.equal(kinds, kind) if self.hidden_by is None else np.isin(kinds, (kind, ~kind))

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
