"""Samples, histories and catalogue of a day as arrays: what train, evaluate and recommend start from."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache, partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import torch
from numpy.typing import NDArray

from jobs.lake import Lake, arrow_dataset
from jobs.lake.arrow import distinct_strings, file_backed_zeros
from jobs.ranking.histories import EVENTS, histories_of, load_histories, load_histories_with_impressions, load_rates
from jobs.ranking.items import ItemFeatures, Items
from jobs.settings.tree import Settings
from models.ranker.design import Design
from models.ranker.histories import Histories
from models.ranker.model import Ranker
from models.ranker.rates import Rates
from models.ranker.samples import Samples, find, gathered
from models.ranker.search_result import SearchResult

TASKS = ("click", "purchase", "like")
KEY = ("sample_id", "user_id", "item_id", "ts", "history_until", "request_id", "day")
Int64s = NDArray[np.int64]
Ints = NDArray[np.integer]
Search = Callable[[Histories, Ints, Ints, Int64s], SearchResult]  # users and targets [rows], and where histories end
FOUND_AT_ONCE = 1 << 24  # that are found before the next rows are searched for: bounds memory


@dataclass(frozen=True)
class Rows:
    """Samples with the arrays [rows] that search and slices need; what one may know ends strictly before `until`.

    user, target  indices; until, ts in microseconds; end, length of the history
    labels        [rows, tasks], NaN: not known
    """

    user: Int64s
    target: Int64s
    until: Int64s
    end: Int64s
    length: Int64s
    ts: Int64s
    labels: NDArray[np.float32]

    def take(self, keep: NDArray[np.bool_] | Int64s) -> "Rows":
        return Rows(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))

    @classmethod
    def room(cls, rows: int) -> "Rows":
        """Room for so many, in files: those that are taken of them are the only ones in memory."""
        columns = [file_backed_zeros(rows, np.dtype(np.int64)) for _ in range(6)]
        return cls(*[*columns, file_backed_zeros((rows, len(TASKS)), np.dtype(np.float32))])

    def put(self, here: slice, part: "Rows") -> None:
        for name in self.__dataclass_fields__:
            getattr(self, name)[here] = getattr(part, name)

    def __len__(self) -> int:
        return len(self.user)


@dataclass(frozen=True)
class Dataset:
    """A day as arrays: rows to train on and to judge by, and all that is known of their users and items.

    users  ids by index, sorted
    tasks  names of the labels, the main one first
    split  whether the test rows are those of a day, or the last requests of a single one
    """

    catalogue: ItemFeatures
    users: pa.Array
    histories: Histories
    rates: Callable[[str], Rates]  # of a task
    exposed: Callable[[], Histories]  # with what users were shown
    tasks: tuple[str, ...]
    train: Rows
    test: Rows
    split: str


def load_dataset(lake: Lake, settings: Settings, catalogue: ItemFeatures, day: date) -> Dataset:
    """The day's test rows, the rows before it to train on, and all histories up to the day.

    Tasks are those that the rows to train on know a label of, first those that the test rows know, too; rows without
    any are none to train on.
    """
    first = day - timedelta(days=settings.logs.train_days)
    where = (ds.field("day") >= first) & (ds.field("day") <= day)
    table = lake.delta("gold.samples")

    def stream(columns: list[str]) -> Iterator[pa.RecordBatch]:
        return lake.batches("gold.samples", columns, where, table.version())

    split = settings.logs.split
    if split == "auto":
        days = {one for batch in stream(["day"]) for one in pc.unique(batch["day"]).to_pylist()}
        split = "request" if days == {day} else "day"
    seen = distinct_strings(batch["user_id"] for batch in stream(["user_id"]))
    users, histories = load_histories(lake, settings, catalogue, day, seen)
    rows = Rows.room(arrow_dataset(table).count_rows(filter=where))
    last, asked, at = np.zeros(len(rows), bool), [pa.array([], pa.string())], 0
    for batch in stream([*KEY, *TASKS]):
        here = slice(at, at := at + batch.num_rows)
        rows.put(here, rows_of(batch, users, catalogue, histories))
        last[here] = batch["day"].to_numpy(zero_copy_only=False) == np.datetime64(day)
        asked += [pc.coalesce(batch["request_id"], batch["sample_id"])] if split == "request" else []
    if split == "request":
        last = _last_requests(asked, rows.ts, settings.logs.test_share)
    tasks, train, test = _parted(rows, last)
    rates = cache(partial(load_rates, lake, settings, users, catalogue, day))
    exposed = cache(partial(load_histories_with_impressions, lake, settings, catalogue, day, users))
    return Dataset(catalogue, users, histories, rates, exposed, tasks, train, test, split)


def retold(lake: Lake, settings: Settings, data: Dataset, day: date) -> Dataset:
    """The same rows, users and items, with what other settings tell of them."""
    histories = histories_of(lake, settings, data.catalogue, day, data.users)

    def ended(rows: Rows) -> Rows:
        end = histories.ends(rows.user, rows.until)
        return replace(rows, end=end, length=histories.lengths(rows.user, end))

    return replace(
        data,
        histories=histories,
        rates=cache(partial(load_rates, lake, settings, data.users, data.catalogue, day)),
        exposed=cache(partial(load_histories_with_impressions, lake, settings, data.catalogue, day, data.users)),
        train=ended(data.train),
        test=ended(data.test),
    )


def _parted(rows: Rows, last: NDArray[np.bool_]) -> tuple[tuple[str, ...], Rows, Rows]:
    """Tasks, the rows to train on and the last ones, to test."""
    order = np.lexsort((*rows.labels.T, rows.until, rows.target, rows.user, rows.ts))  # files have no order
    known = np.isfinite(rows.labels)
    train = order[(~last & known.any(axis=1))[order]]  # what is too young to have a label teaches nothing
    test = order[last[order]]
    learned, judged = (known[some].any(axis=0) for some in (train, test))
    tasks = [*np.flatnonzero(learned & judged), *np.flatnonzero(learned & ~judged)]
    rows = replace(rows, labels=rows.labels[:, tasks])
    return tuple(TASKS[at] for at in tasks), rows.take(train), rows.take(test)


def histories_for(data: Dataset, rows: Rows, design: Design) -> tuple[Histories, Int64s]:
    """The histories that the design looks at, and where they end for each row."""
    if not looks_at_exposures(design):
        return data.histories, rows.end
    return data.exposed(), data.exposed().ends(rows.user, rows.until)


def looks_at_exposures(design: Design) -> bool:
    """Whether a list is of what users were shown, which histories do not hold by themselves."""
    return EVENTS["impression"] in dict(design.lists)


def search_of(catalogue: ItemFeatures, settings: Settings, design: Design, vectors: torch.Tensor) -> Search:
    """The design's search among histories, on the device of the vectors: what it compares is there once."""
    categories = catalogue.categories.to(vectors.device)
    return partial(find, design, vectors=vectors, categories=categories, max_history=settings.ranker.max_history)


def searched(
    data: Dataset,
    rows: Rows,
    settings: Settings,
    design: Design,
    *,
    vectors: torch.Tensor | None = None,
    task: str | None = None,
) -> Samples:
    """The rows with what the design looks at, found events and running rates, in arrays that need not fit in memory.

    vectors  what the search compares, see `looked_at`; by itself the catalogue's
    task     whose rates; by itself those of the main one
    """
    search = search_of(data.catalogue, settings, design, data.catalogue.vectors if vectors is None else vectors)
    whole: Samples | None = None
    order = np.argsort(rows.user, kind="stable")  # a user's history is gathered for all of its rows
    for part in np.array_split(order, len(order) * sum(design.ks) // FOUND_AT_ONCE + 1):
        some = rows.take(part)
        histories, end = histories_for(data, some, design)
        found = search(histories, some.user, some.target, end)
        rates = None
        if "rates" in design.extras:
            rates = data.rates(task or data.tasks[0]).at(some.user, some.target, some.until)
        told = gathered(design, histories, found, some.user, some.target, end, some.ts, some.labels, rates)
        whole = told.like(len(rows), file_backed_zeros) if whole is None else whole
        whole.put(part, told)
    assert whole is not None
    return whole


def looked_at(model: Ranker, catalogue: ItemFeatures) -> torch.Tensor:
    """The vectors [items, dim] that the model's search compares, on its device."""
    own = model.design.search == "id_embedding"
    return model.id_vectors[:-1] if own else catalogue.vectors.to(model.known.device)


def _last_requests(requests: list[pa.Array], ts: Int64s, share: float) -> NDArray[np.bool_]:
    """Which rows are of the last requests of a log that fits in one day."""
    coded = pa.chunked_array(requests).dictionary_encode().unify_dictionaries().combine_chunks()
    request, names = coded.indices.to_numpy(), coded.dictionary
    began = np.full(len(names), np.iinfo(np.int64).max)
    np.minimum.at(began, request, ts)
    by_name = pc.sort_indices(names).to_numpy()
    place = np.empty(len(names), np.int64)
    place[by_name[np.argsort(began[by_name], kind="stable")]] = np.arange(len(names))
    return np.asarray(place[request] >= len(names) * (1 - share))


def rows_of(samples: pa.Table | pa.RecordBatch, users: pa.Array, items: Items, histories: Histories) -> Rows:
    """Samples as indices of their users and items, with where their histories end."""

    def micros(name: str) -> Int64s:
        found = samples[name].cast(pa.timestamp("us", "UTC")).cast(pa.int64())
        return np.asarray(found.to_numpy(zero_copy_only=False))

    user = pc.index_in(samples["user_id"], users).to_numpy(zero_copy_only=False).astype(np.int64)
    until = micros("history_until")
    end = histories.ends(user, until)
    labels = [samples[t].cast(pa.float32()).to_numpy(zero_copy_only=False) for t in TASKS]
    length = histories.lengths(user, end)
    return Rows(user, items.index(samples["item_id"]), until, end, length, micros("ts"), np.stack(labels, axis=1))
