"""Running rates: how often a user and an item were shown and taken (clicked, bought or liked) before a moment.

With these features a ranker need not memorise the rates. On real labels two such rates predict more than most of what
histories contain (docs/results/rank.md).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.ranker.histories import Allocate, Histories, Ints
from models.ranker.sorting import EVENTS_AT_ONCE, sort_by_key

RATES = 4
PRIOR = 5.0  # every rate starts with this many impressions at the mean rate of all
MAX_MEAN_RATE = 0.9
_NO_ITEMS, _NO_TIMES = np.zeros(0, np.int32), np.zeros(0, np.int64)
Events = tuple[Ints, Ints, Ints]  # user and item [events], -1: not counted; ts [events] in microseconds
Times = tuple[Histories, Histories, Histories]  # times of events: of all users together, by user, by item


class Counts(NamedTuple):
    """Number of events of all users together, of each user and of each item."""

    everyone: Ints
    user: Ints
    item: Ints


@dataclass(frozen=True)
class Rates:
    """When items were shown and taken: for all users together, by user and by item.

    Events older than `window` microseconds do not count.

    cancelled  the events of `taken` that were taken back later
    left       when each of them ceased to count: when it was taken back, or when it became too old
    """

    shown: Times
    taken: Times
    cancelled: Times
    left: Times
    window: int

    @classmethod
    def from_arrays(
        cls,
        shown: Events,
        taken: Events,
        n_users: int,
        n_items: int,
        window: int,
        allocate: Allocate = np.empty,
        *,
        cancelled: Events = (_NO_ITEMS, _NO_ITEMS, _NO_TIMES),
        cancelled_at: Ints = _NO_TIMES,
    ) -> "Rates":
        """Events in any order.

        allocate      makes arrays, in memory or in files
        cancelled     the events of `taken` that were taken back
        cancelled_at  [cancelled] when, in microseconds
        """
        user, item, ts = cancelled
        left = user, item, np.minimum(cancelled_at, ts + window)

        def sort(events: Events) -> Times:
            return _sort_times(events, n_users, n_items, allocate)

        return cls(sort(shown), sort(taken), sort(cancelled), sort(left), window)

    def at(self, user: Ints, item: Ints, until: Ints) -> NDArray[np.float32]:
        """Rates [rows, RATES] float32 of the window before `until`, see `compute_rates`.

        user, item  [rows]
        until       [rows], microseconds
        """
        keys = (np.zeros_like(user), user, item)

        def count(entered: Times, left: Times) -> Counts:
            """The events that entered the window before `until`, without those that left it."""
            columns = zip(entered, left, keys, strict=True)
            return Counts(*(come.ends(key, until) - gone.ends(key, until - self.window) for come, gone, key in columns))

        shown, taken = count(self.shown, self.shown), count(self.taken, self.taken)
        left_early = count(self.left, self.cancelled)  # those that left the window, without those that were too old
        return compute_rates(shown, Counts(*(a - b for a, b in zip(taken, left_early, strict=True))))


@dataclass(frozen=True)
class Totals:
    """Counts of one moment, for lists that are made at the end of a day: all events that were counted are before it."""

    shown: Counts
    taken: Counts

    @classmethod
    def count(cls, shown: Iterable[Events], taken: Iterable[Events], n_users: int, n_items: int) -> "Totals":
        """Count events that come in parts. No part stays in memory. An event with item -1 counts for its user only."""

        def count(parts: Iterable[Events]) -> Counts:
            sums = Counts(np.zeros(1, np.int64), np.zeros(n_users, np.int64), np.zeros(n_items, np.int64))
            for user, item, _ in parts:
                sums.everyone[0] += np.count_nonzero(item >= 0)
                sums.user[:] += np.bincount(user[user >= 0], minlength=n_users)
                sums.item[:] += np.bincount(item[item >= 0], minlength=n_items)
            return sums

        return cls(count(shown), count(taken))

    def at(self, user: Ints, item: Ints) -> NDArray[np.float32]:
        """Rates [rows, RATES] float32 of users and items [rows], see `compute_rates`."""
        shown, taken = (
            Counts(counts.everyone, counts.user[user], counts.item[item]) for counts in (self.shown, self.taken)
        )
        return compute_rates(shown, taken)


def compute_rates(shown: Counts, taken: Counts) -> NDArray[np.float32]:
    """For the user and for the item: log-odds of the share taken, and log(1 + shown) / 5. [rows, RATES] float32

    Log-odds of independent hints add up, so a ranker need not learn how to combine shares. An item that was taken was
    shown, even if the log does not say so: a share is at most 1.
    """
    shown = Counts(*(np.maximum(a, b) for a, b in zip(shown, taken, strict=True)))
    # A log without impressions has no share. The bound keeps its rates from revealing the length of the log.
    mean = np.minimum((taken.everyone + 1) / (shown.everyone + 2), MAX_MEAN_RATE)
    columns: list[NDArray[np.floating]] = []
    for shown_count, taken_count in ((shown.user, taken.user), (shown.item, taken.item)):
        odds = (taken_count + PRIOR * mean) / (shown_count - taken_count + PRIOR * (1 - mean))
        columns += [np.log(odds), np.log1p(shown_count) / 5]
    return np.stack(columns, axis=1).astype(np.float32)


def _sort_times(events: Events, n_users: int, n_items: int, allocate: Allocate) -> Times:
    """Times of all events, by user and by item."""
    user, item, ts = events
    everyone, start = allocate(int(np.count_nonzero(item >= 0)), np.dtype(np.int64)), 0
    for part in _split(len(ts)):
        counted = ts[part][item[part] >= 0]
        everyone[start : start + len(counted)] = counted
        start += len(counted)
    everyone.sort()
    all_times = Histories(np.array([0, len(everyone)]), _NO_ITEMS, everyone)
    return all_times, _sort_times_by(user, ts, n_users, allocate), _sort_times_by(item, ts, n_items, allocate)


def _split(count: int) -> list[slice]:
    """Places of so many events, in parts that fit in memory."""
    return [slice(start, start + EVENTS_AT_ONCE) for start in range(0, count, EVENTS_AT_ONCE)]


def _sort_times_by(keys: Ints, ts: Ints, n_keys: int, allocate: Allocate) -> Histories:
    """Times by key; events with key -1 are left out."""
    parts, counts = _split(len(ts)), np.zeros(n_keys, np.int64)
    for part in parts:
        counts += np.bincount(keys[part][keys[part] >= 0], minlength=n_keys)
    column = allocate(int(counts.sum()), np.dtype(np.int64))
    known_parts = ((keys[part] >= 0, part) for part in parts)
    sorted_parts = ((keys[part][is_known], ts[part][is_known]) for is_known, part in known_parts)
    return Histories(sort_by_key(counts, sorted_parts, [column]), _NO_ITEMS, column)
