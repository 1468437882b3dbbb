"""Running rates: how often a user and an item were shown and taken strictly before a moment.

A ranker that is told them need not learn them by heart: on real labels two such rates foretell more than most of what
histories hold (bench/README.md).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.ranker.histories import Histories, Int64s, Ints

RATES = 4
PRIOR = 5.0  # showings at the mean rate of all that every rate starts with


@dataclass(frozen=True)
class Rates:
    """When what was shown and taken.

    shown, taken  of all, of each user, of each item
    """

    shown: tuple[Histories, Histories, Histories]
    taken: tuple[Histories, Histories, Histories]

    @classmethod
    def from_arrays(
        cls,
        shown: tuple[Ints, Ints, Ints],
        taken: tuple[Ints, Ints, Ints],
        n_users: int,
        n_items: int,
    ) -> "Rates":
        """Count events, whatever their order.

        shown, taken  each user [events], -1: not known; item [events]; ts [events] in microseconds
        """
        return cls(_moments(*shown, n_users, n_items), _moments(*taken, n_users, n_items))

    def at(self, user: Ints, item: Ints, until: Ints) -> NDArray[np.float32]:
        """[rows, RATES] float32: of the user and of the item the share taken and log(1 + shown) / 5, before `until`.

        user, item  [rows]
        until       [rows], microseconds
        """
        all_shown, all_taken = (_before(of[0], np.zeros_like(user), until) for of in (self.shown, self.taken))
        mean = (all_taken + 1) / (all_shown + 2)
        columns = []
        for place, key in ((1, user), (2, item)):
            shown, taken = (_before(of[place], key, until) for of in (self.shown, self.taken))
            columns += [(taken + PRIOR * mean) / (shown + PRIOR), np.log1p(shown) / 5]
        return np.stack(columns, axis=1).astype(np.float32)


def _moments(user: Ints, item: Ints, ts: Ints, n_users: int, n_items: int) -> tuple[Histories, Histories, Histories]:
    known = user >= 0
    everyone = np.zeros(len(ts), np.int64)
    return (
        Histories.from_arrays(everyone, everyone, ts, 1),
        Histories.from_arrays(user[known], user[known], ts[known], n_users),
        Histories.from_arrays(item, item, ts, n_items),
    )


def _before(events: Histories, key: Ints, until: Ints) -> Int64s:
    return events.lengths(key, events.ends(key, until))
