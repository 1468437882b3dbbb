"""The rows that a ranker is trained on or scores, with the events that the GSU found for them."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.ranker import gsu
from models.ranker.design import Design, Extra, Search
from models.ranker.histories import Histories, Int64s, Ints
from models.ranker.search_result import PADDING, SearchResult

Floats = NDArray[np.floating]
EXTRA_NAMES = {"rates": "running rates", "similar_rates": "similar rates"}


@dataclass(frozen=True)
class Samples:
    """Rows to train on or to score.

    target          [rows] int, item index
    topk            [rows, k] int, item indices that the GSU found, -1 = padding; the lists of events one after another
    sims            [rows, k] float in [-1, 1], similarities of topk to the target
    labels          [rows, tasks] float, 1 or 0; NaN = unknown, and not trained on
    history_length  [rows] int, number of events in the whole history
    groups          [rows] int, the user
    ts              [rows] int, time of the row in microseconds
    seconds         [rows, k] float32, seconds from each event to the row, for the extra `time`
    kinds           [rows, k] int8, type of each event, for the extra `event`
    events_after    [rows, k] int32, number of the user's events after it, for the extra `position`
    rates           [rows, RATES] float32, for the extra `rates`
    similar_rates   [rows, SIMILAR_RATES] float32, for the extra `similar_rates`
    targets         [rows, tasks] float in [0, 1], NaN = unknown: what training asks for. None: the labels
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
    events_after: Ints | None = None
    rates: Floats | None = None
    similar_rates: Floats | None = None
    targets: Floats | None = None

    def __len__(self) -> int:
        return len(self.target)

    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns that are not None, by name."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: values for name, values in columns.items() if values is not None}

    def empty_like(self, rows: int, allocate: Callable[[tuple[int, ...], np.dtype[Any]], NDArray[Any]]) -> "Samples":
        """Samples of the same columns with room for that many rows."""
        values: list[Any] = [getattr(self, field.name) for field in fields(self)]
        room: list[Any] = [
            None if value is None else allocate((rows, *value.shape[1:]), value.dtype) for value in values
        ]
        return Samples(*room)

    def put(self, rows: Int64s, part: "Samples") -> None:
        """Set the given rows [part] to the rows of another."""
        for field in fields(self):
            if (value := getattr(self, field.name)) is not None:
                value[rows] = getattr(part, field.name)

    def take(self, rows: Int64s) -> "Samples":
        """The given rows, in that order."""
        values: list[Any] = [getattr(self, field.name) for field in fields(self)]
        taken: list[Any] = [None if value is None else value[rows] for value in values]
        return Samples(*taken)


def search_histories(
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
    """The events that the design's search finds for each row, the lists of events one after another.

    user, target, end    [rows], as for `gsu.search_similar`
    vectors              [items, d] float32, the embedding that the design searches by or whose similarities it reads
    categories           [items] int64, for the search `category`
    raises               ValueError if something that the design needs is missing
    """

    def search(searched: Histories, end: Int64s, k: int, kind: Search = design.search) -> SearchResult:
        part = replace(design, k=k, search=kind)
        return _search_list(part, searched, user, target, end, vectors, categories, max_history)

    results = [] if design.lists else [search(histories, end, design.k)]
    for kind, k in design.lists:
        of_kind, positions = histories.select_kind(kind)
        result = search(of_kind, np.searchsorted(positions, end), k)
        events = np.where(result.events < 0, PADDING, _take_or_zero(positions, np.maximum(result.events, 0)))
        results.append(result._replace(events=events))
    if design.latest:
        results.append(search(histories, end, design.latest, "latest"))
    return SearchResult(*(np.concatenate(parts, axis=1) for parts in zip(*results, strict=True)))


def _search_list(
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
        result = gsu.search_latest(histories, user, end, **limits)
    elif design.search == "category":
        needed = _require(categories, "categories", design)
        result = gsu.search_category(histories, needed, user, target, end, **limits)
    else:
        return gsu.search_similar(histories, _require(vectors, "vectors", design), user, target, end, **limits)
    if design.uses_similarities:
        sims = gsu.compute_similarities(_require(vectors, "vectors", design), target, result.items)
        result = result._replace(sims=sims)
    return result


def _require(tensor: torch.Tensor | None, name: str, design: Design) -> torch.Tensor:
    if tensor is None:
        raise ValueError(f"this design needs {name}: pass {name}. The design is {design}")
    return tensor


def build_samples(
    design: Design,
    histories: Histories,
    result: SearchResult,
    user: Ints,
    target: Ints,
    end: Int64s,
    ts: Ints,
    labels: Floats,
    rates: Floats | None = None,
    similar_rates: Floats | None = None,
) -> Samples:
    """Rows with their search result and the features of events that the design reads.

    user, target  [rows] indices, those of the search
    end           [rows] where each history ends, from `Histories.ends`
    ts            [rows] microseconds
    labels        [rows, tasks]
    rates         [rows, RATES], see `Rates.at`
    similar_rates  [rows, SIMILAR_RATES], see `SimilarRates.at`
    raises        ValueError if something that the design reads is missing
    """
    length, is_padding = histories.lengths(user, end), result.events < 0
    events = np.maximum(result.events, 0)
    seconds = kinds = events_after = None
    if "time" in design.extras:
        age = (ts[:, None] - _take_or_zero(histories.ts, events)) / 1e6
        seconds = np.where(is_padding, 0, age).astype(np.float32)
    if "event" in design.extras:
        if histories.kinds is None:
            raise ValueError("the design reads types of events: build the histories with kinds")
        kinds = np.where(is_padding, 0, _take_or_zero(histories.kinds, events)).astype(np.int8)
    if "position" in design.extras:
        events_after = np.where(is_padding, 0, end[:, None] - 1 - events).astype(np.int32)
    return Samples(
        target, result.items, result.sims, labels, length, user, ts, seconds, kinds, events_after,
        _select_extra(design, "rates", rates), _select_extra(design, "similar_rates", similar_rates),
    )  # fmt: skip


def _select_extra(design: Design, name: Extra, values: Floats | None) -> Floats | None:
    """The values if the design reads them. raises ValueError if it does and there are none"""
    if name not in design.extras:
        return None
    if values is None:
        raise ValueError(f"the design reads {EXTRA_NAMES[name]}: pass {name}")
    return values


def _take_or_zero(values: NDArray[np.integer], places: Int64s) -> NDArray[np.integer]:
    """The values at these places, zeros if there are no values at all."""
    return values[places] if len(values) else np.zeros(places.shape, values.dtype)
