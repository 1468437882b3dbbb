"""What a ranker is trained on and scores: rows with the events that the GSU found for them."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.ranker import gsu
from models.ranker.design import Design
from models.ranker.histories import Histories, Int64s, Ints
from models.ranker.search_result import PADDING, SearchResult

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Samples:
    """Rows to train on or to score.

    target          [rows] int, item index
    topk            [rows, k] int, item indices that the GSU found, -1 = padding; one list of events after another
    sims            [rows, k] float, similarities of topk in [-1, 1]
    labels          [rows, tasks] float, 1 or 0, NaN = unknown and not learned from
    history_length  [rows] int, events in the whole history
    groups          [rows] int, the user
    ts              [rows] int, the moment in microseconds
    seconds         [rows, k] float32 between each event found and the moment, for the extra `time`
    kinds           [rows, k] int8, its type, for the extra `event`
    after           [rows, k] int32, events that came after it, for the extra `position`
    rates           [rows, RATES] float32, for the extra `rates`
    """

    target: Ints
    topk: Ints
    sims: Floats
    labels: Floats
    history_length: Ints
    groups: Ints
    ts: Ints
    seconds: Floats | None = None
    kinds: Ints | None = None
    after: Ints | None = None
    rates: Floats | None = None

    def __len__(self) -> int:
        return len(self.target)

    def like(self, rows: int, empty: Callable[[tuple[int, ...], np.dtype[Any]], NDArray[Any]]) -> "Samples":
        """Room for so many rows of this kind."""
        values: list[Any] = [getattr(self, field.name) for field in fields(self)]
        room: list[Any] = [None if value is None else empty((rows, *value.shape[1:]), value.dtype) for value in values]
        return Samples(*room)

    def put(self, rows: Int64s, part: "Samples") -> None:
        """Set rows [part] to those of another."""
        for field in fields(self):
            if (value := getattr(self, field.name)) is not None:
                value[rows] = getattr(part, field.name)

    def take(self, rows: Int64s) -> "Samples":
        """The rows [taken] in that order."""
        values: list[Any] = [getattr(self, field.name) for field in fields(self)]
        taken: list[Any] = [None if value is None else value[rows] for value in values]
        return Samples(*taken)


def find(
    design: Design,
    histories: Histories,
    user: Ints,
    target: Ints,
    end: Int64s,
    *,
    vectors: torch.Tensor | None = None,
    categories: torch.Tensor | None = None,
    max_history: int = 10_000,
) -> SearchResult:
    """What the design's search finds for each row, one list of events after another.

    user, target, end    [rows], as for `gsu.search`
    vectors              [items, d] float32 of whatever embedding the design searches by, or sees similarities of
    categories           [items] int64, for the search `category`
    raises               ValueError if what the design needs is not told
    """

    def one(of: Histories, end: Int64s, k: int) -> SearchResult:
        return _find(replace(design, k=k), of, user, target, end, vectors, categories, max_history)

    if not design.lists:
        return one(histories, end, design.k)
    found = []
    for kind, k in design.lists:
        some, place = histories.only(kind)
        mine = one(some, np.searchsorted(place, end), k)
        events = np.where(mine.events < 0, PADDING, _taken(place, np.maximum(mine.events, 0)))
        found.append(mine._replace(events=events))
    return SearchResult(*(np.concatenate(parts, axis=1) for parts in zip(*found, strict=True)))


def _find(
    design: Design,
    histories: Histories,
    user: Ints,
    target: Ints,
    end: Int64s,
    vectors: torch.Tensor | None,
    categories: torch.Tensor | None,
    max_history: int,
) -> SearchResult:
    limits: Any = {"k": design.k, "max_history": max_history, "distinct": design.distinct}
    if design.search == "latest":
        found = gsu.latest(histories, user, end, **limits)
    elif design.search == "category":
        found = gsu.of_category(histories, _told(categories, "categories", design), user, target, end, **limits)
    else:
        return gsu.search(histories, _told(vectors, "vectors", design), user, target, end, **limits)
    if design.sees_similarities:
        found = found._replace(sims=gsu.similarities(_told(vectors, "vectors", design), target, found.items))
    return found


def _told(given: torch.Tensor | None, what: str, design: Design) -> torch.Tensor:
    if given is None:
        raise ValueError(f"the design needs {what}, which are not told: {design}")
    return given


def gathered(
    design: Design,
    histories: Histories,
    found: SearchResult,
    user: Ints,
    target: Ints,
    end: Int64s,
    ts: Ints,
    labels: Floats,
    rates: Floats | None = None,
) -> Samples:
    """Rows with what was found for them, and of that what the design looks at.

    user, target  [rows] indices, for which `found` was found
    end           [rows] where each history ends, from `Histories.ends`
    ts            [rows] microseconds
    labels        [rows, tasks]
    rates         [rows, RATES], see `Rates.at`
    raises        ValueError if the design looks at what is not told
    """
    length, none = histories.lengths(user, end), found.events < 0
    at = np.maximum(found.events, 0)
    seconds = kinds = after = None
    if "time" in design.extras:
        seconds = np.where(none, 0, (ts[:, None] - _taken(histories.ts, at)) / 1e6).astype(np.float32)
    if "event" in design.extras:
        if histories.kinds is None:
            raise ValueError("the design looks at types of events, which the histories do not tell apart")
        kinds = np.where(none, 0, _taken(histories.kinds, at)).astype(np.int8)
    if "position" in design.extras:
        after = np.where(none, 0, end[:, None] - 1 - at).astype(np.int32)
    if "rates" not in design.extras:
        rates = None
    elif rates is None:
        raise ValueError("the design looks at running rates, which are not told")
    return Samples(target, found.items, found.sims, labels, length, user, ts, seconds, kinds, after, rates)


def _taken(values: NDArray[np.integer], at: Int64s) -> NDArray[np.integer]:
    return values[at] if len(values) else np.zeros(at.shape, values.dtype)
