"""What the tasks of a language model are drawn from: items with codes and texts, and the known part of histories."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.generator.seen import go_back
from models.llm.item_text import TITLE, item_json, neutralize
from models.ranker.histories import Histories, Int64s

HISTORY = 20  # items of a history that a prompt holds, the newest
SHORT = 80  # characters of a title or category inside a list or an answer
TRIES = 10_000  # events drawn in a row that are no use, before the data are said to have none that is


class Past(NamedTuple):
    """The items that a user chose, oldest first, and the item that followed."""

    user: int
    items: list[int]
    target: int


class TaskData:
    """Items and histories to draw rows from. Items without codes never appear.

    codes      [items, levels] int64; -1 in the rows of items without codes
    items      [items] title, category and attributes as in silver.items. Strangers wrote them: they are kept as one
               line without tags and special tokens
    histories  of all users
    ends       [users] int64, where the known part of each history ends; nothing after it is read
    raises     ValueError if no item has codes
    """

    def __init__(
        self, codes: NDArray[np.int64], items: Sequence[Mapping[str, Any]], histories: Histories, ends: Int64s
    ) -> None:
        self.histories, self.ends = histories, ends
        self.has_codes: NDArray[np.bool_] = np.all(codes >= 0, axis=1)
        self.titles = [neutralize(item["title"] or "", TITLE) for item in items]
        self.texts = [item_json(item) for item in items]
        self.categories = [neutralize(" / ".join(filter(None, item["category"] or [])), SHORT) for item in items]
        self._coded = np.flatnonzero(self.has_codes)
        if not len(self._coded):
            raise ValueError("no item has codes: there is nothing that a language model could write")
        self._described = np.array([item for item in self._coded if self.titles[item]], np.int64)
        self._events_before = np.concatenate(
            [[0], np.cumsum(ends - histories.offsets[:-1])]
        )  # in all earlier histories

    def draw_items(self, count: int, rng: np.random.Generator) -> list[int]:
        """At most `count` different items that have codes."""
        drawn: list[int] = np.unique(rng.choice(self._coded, count)).tolist()
        return [drawn[place] for place in rng.permutation(len(drawn))]

    def draw_described(self, count: int, rng: np.random.Generator) -> list[int]:
        """Items that have codes and a title. raises ValueError if there are none"""
        if not len(self._described):
            raise ValueError("no item that has codes has a title: a language model cannot learn what the codes mean")
        drawn: list[int] = rng.choice(self._described, count).tolist()
        return drawn

    def draw_past(self, rng: np.random.Generator, *, may_be_empty: bool) -> Past:
        """An event, and what its user chose before it. raises ValueError if no user chose two items that have codes"""
        for _ in range(TRIES if self._events_before[-1] else 0):
            number = int(rng.integers(self._events_before[-1]))
            user = int(np.searchsorted(self._events_before, number, side="right")) - 1
            event = int(self.histories.offsets[user]) + number - int(self._events_before[user])
            target = int(self.histories.items[event])
            is_hidden = self.histories.is_hidden(np.array(event), self.ends[user])
            if self.has_codes[target] and not is_hidden:
                past = self.past(user, event)
                if past or may_be_empty:
                    return Past(user, past, target)
        raise ValueError("no user chose two items that have codes: there is nothing to learn from histories")

    def past(self, user: int, end: int) -> list[int]:
        """The newest HISTORY items that have codes in a history that ends there, oldest first."""
        return newest_items(self.histories, self.has_codes, user, end)

    def knows(self, user: int, item: int) -> bool:
        """Whether an item is in the known part of a user's history."""
        return item in self.histories.items[self.histories.offsets[user] : self.ends[user]]

    def category(self, item: int) -> str:
        """The category of an item, broad to narrow; its title if it has none."""
        return self.categories[item] or self.titles[item]

    def quoted_category(self, item: int) -> str:
        return json.dumps(neutralize(self.category(item), SHORT), ensure_ascii=False)

    def quoted_title(self, item: int) -> str:
        return json.dumps(neutralize(self.titles[item], SHORT), ensure_ascii=False)


def newest_items(histories: Histories, has_codes: NDArray[np.bool_], user: int, end: int) -> list[int]:
    """The newest HISTORY items that have codes in a history that ends there, oldest first.

    Of a history with items without codes, the newest 10 * HISTORY events are searched.
    """
    at_end = np.array([end])
    events = np.arange(int(go_back(histories, np.array([user]), at_end, at_end, 10 * HISTORY)[0]), end)
    items = histories.items[events[~histories.is_hidden(events, at_end)]]
    newest: list[int] = items[has_codes[items]][-HISTORY:].tolist()
    return newest
