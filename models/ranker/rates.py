"""Running rates: how often a user and an item were shown and taken strictly before a moment.

A ranker that is told them need not learn them by heart: on real labels two such rates foretell more than most of what
histories hold (bench/README.md).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.ranker.histories import EVENTS_AT_ONCE, Empty, Histories, Ints, by_key

RATES = 4
PRIOR = 5.0  # showings at the mean rate of all that every rate starts with
MOST = 0.9  # that mean at most
_NO_ITEMS = np.zeros(0, np.int32)
Events = tuple[Ints, Ints, Ints]  # user [events], -1: not known; item [events]; ts [events] in microseconds


class Counts(NamedTuple):
    """Events of all, of each user and of each item: when they happened, or how many there were."""

    everyone: Ints
    user: Ints
    item: Ints


@dataclass(frozen=True)
class Rates:
    """When what was shown and taken; what is older than `window` microseconds counts no more."""

    shown: tuple[Histories, Histories, Histories]
    taken: tuple[Histories, Histories, Histories]
    window: int

    @classmethod
    def from_arrays(
        cls, shown: Events, taken: Events, n_users: int, n_items: int, window: int, empty: Empty = np.empty
    ) -> "Rates":
        """Events in any order; empty: arrays to fill, which may be files."""
        made = (_moments(events, n_users, n_items, empty) for events in (shown, taken))
        return cls(next(made), next(made), window)

    def at(self, user: Ints, item: Ints, until: Ints) -> NDArray[np.float32]:
        """[rows, RATES] float32, see `rates_of`, of what happened in the window before `until`.

        user, item  [rows]
        until       [rows], microseconds
        """
        keys = (np.zeros_like(user), user, item)

        def counted(of: tuple[Histories, Histories, Histories]) -> Counts:
            pairs = zip(of, keys, strict=True)
            return Counts(*(one.ends(key, until) - one.ends(key, until - self.window) for one, key in pairs))

        return rates_of(counted(self.shown), counted(self.taken))


@dataclass(frozen=True)
class Totals:
    """How much was shown and taken in all: the rates of one moment, after everything that was counted."""

    shown: Counts
    taken: Counts

    @classmethod
    def count(cls, shown: Iterable[Events], taken: Iterable[Events], n_users: int, n_items: int) -> "Totals":
        """Events in parts, none of which is kept."""

        def counted(parts: Iterable[Events]) -> Counts:
            sums = Counts(np.zeros(1, np.int64), np.zeros(n_users, np.int64), np.zeros(n_items, np.int64))
            for user, item, _ in parts:
                sums.everyone[0] += len(item)
                sums.user[:] += np.bincount(user[user >= 0], minlength=n_users)
                sums.item[:] += np.bincount(item, minlength=n_items)
            return sums

        return cls(counted(shown), counted(taken))

    def at(self, user: Ints, item: Ints) -> NDArray[np.float32]:
        """[rows, RATES] float32, see `rates_of`, of users and items [rows]."""
        shown, taken = (Counts(of.everyone, of.user[user], of.item[item]) for of in (self.shown, self.taken))
        return rates_of(shown, taken)


def rates_of(shown: Counts, taken: Counts) -> NDArray[np.float32]:
    """[rows, RATES] float32: of the user and of the item the log-odds of the share taken, and log(1 + shown) / 5.

    Log-odds of independent hints add up, so a ranker need not learn how shares combine. What was taken was shown,
    though the log may not say so: a share is at most 1.
    """
    shown = Counts(*(np.maximum(a, b) for a, b in zip(shown, taken, strict=True)))
    # Where nothing but what was taken is told, there is no share; the bound keeps rates from telling the log's length.
    mean = np.minimum((taken.everyone + 1) / (shown.everyone + 2), MOST)
    columns: list[NDArray[np.floating]] = []
    for all_, some in ((shown.user, taken.user), (shown.item, taken.item)):
        odds = (some + PRIOR * mean) / (all_ - some + PRIOR * (1 - mean))
        columns += [np.log(odds), np.log1p(all_) / 5]
    return np.stack(columns, axis=1).astype(np.float32)


def _moments(events: Events, n_users: int, n_items: int, empty: Empty) -> tuple[Histories, Histories, Histories]:
    user, item, ts = events
    everyone = empty(len(ts), np.dtype(np.int64))
    everyone[:] = ts
    everyone.sort()
    whole = Histories(np.array([0, len(ts)]), _NO_ITEMS, everyone)
    return whole, _by(user, ts, n_users, empty), _by(item, ts, n_items, empty)


def _by(keys: Ints, ts: Ints, most: int, empty: Empty) -> Histories:
    """Only when things happened; what is of no key is left out."""
    parts = [slice(at, at + EVENTS_AT_ONCE) for at in range(0, len(ts), EVENTS_AT_ONCE)]
    counts = np.zeros(most, np.int64)
    for part in parts:
        counts += np.bincount(keys[part][keys[part] >= 0], minlength=most)
    column = empty(int(counts.sum()), np.dtype(np.int64))
    known = ((keys[part] >= 0, part) for part in parts)
    return Histories(by_key(counts, ((keys[p][some], ts[p][some]) for some, p in known), [column]), _NO_ITEMS, column)
