"""The rows of a day as arrays, with the histories and items that models read: the input of train and evaluate."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache, partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from jobs.lake import Lake
from jobs.lake.arrow import distinct_strings, large_parts
from jobs.ranking.event_log import microseconds
from jobs.ranking.histories import load_histories_of, load_shown_histories
from jobs.ranking.items import ItemFeatures, ItemIndex
from jobs.ranking.rates import load_rates
from jobs.ranking.user_sample import keep_sampled
from jobs.settings.tree import Settings
from models.arrays_in_files import file_backed_zeros
from models.ranker.histories import Histories, Int64s
from models.ranker.rates import Rates

TASKS = ("click", "purchase", "like")
LABEL_TIMES = {"click": "clicked_at", "purchase": "bought_at"}  # task: when the event happened that is its label
ROWS_AT_ONCE = 1 << 18
KEY = ("sample_id", "user_id", "item_id", "ts", "history_until", "request_id", "day", *LABEL_TIMES.values())


@dataclass(frozen=True)
class Rows:
    """Samples as arrays [rows].

    user, target  indices of the user and of the target item
    until         microseconds; a row's history ends strictly before this moment
    end           position in the histories at which the row's history ends
    length        number of events in the history
    ts            microseconds, when the sample happened
    labels        [rows, tasks], NaN for an unknown label
    """

    user: Int64s
    target: Int64s
    until: Int64s
    end: Int64s
    length: Int64s
    ts: Int64s
    labels: NDArray[np.float32]

    def take(self, keep: NDArray[np.bool_] | Int64s) -> "Rows":
        """The rows where `keep` [rows] is true, or the rows at these positions."""
        return Rows(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))

    def copy_to_files(self, keep: Int64s) -> "Rows":
        """As `take`, for more rows than fit in memory."""
        copy = Rows.allocate(len(keep), self.labels.shape[1])
        for start in range(0, len(keep), ROWS_AT_ONCE):
            span = slice(start, start + ROWS_AT_ONCE)
            copy.put(span, self.take(keep[span]))
        return copy

    @classmethod
    def allocate(cls, rows: int, tasks: int = len(TASKS)) -> "Rows":
        """Room for that many rows, in files: only rows that are taken from it are in memory."""
        columns = [file_backed_zeros(rows, np.dtype(np.int64)) for _ in range(6)]
        return cls(*[*columns, file_backed_zeros((rows, tasks), np.dtype(np.float32))])

    def put(self, span: slice, part: "Rows") -> None:
        """Copy all rows of `part` into the rows of `span`, in place."""
        for name in self.__dataclass_fields__:
            getattr(self, name)[span] = getattr(part, name)

    def __len__(self) -> int:
        return len(self.user)


@dataclass(frozen=True)
class Dataset:
    """The rows to train on and to test on, and everything that models read about their users and items.

    items       features of all items
    users       user IDs by index, sorted
    histories   what users clicked, bought or liked
    load_rates  loads the running rates of a task
    load_shown_histories  loads the histories with all that users were shown
    tasks       names of the labels, the main task first
    split       day: the test rows are those of the day. request: they are the last requests of a log of one day
    """

    items: ItemFeatures
    users: pa.Array
    histories: Histories
    load_rates: Callable[[str], Rates]
    load_shown_histories: Callable[[], Histories]
    tasks: tuple[str, ...]
    train: Rows
    test: Rows
    split: str


def load_dataset(lake: Lake, settings: Settings, items: ItemFeatures, day: date) -> Dataset:
    """The day's test rows, the rows of the days before to train on, and histories until the end of the day.

    The users are those of the sample who have a row.
    The tasks are those with a label in the training rows; tasks that also have a label in the test rows come first.
    Training rows without any label are skipped. Nothing that happened on the day itself is a label of a training row of
    the days before, and nothing that happened after the day is a label of a test row.
    """
    first = day - timedelta(days=settings.logs.train_days)
    where = (ds.field("day") >= first) & (ds.field("day") <= day)
    table = lake.delta("gold.samples")

    def stream(columns: list[str]) -> Iterator[pa.RecordBatch]:
        batches = lake.batches("gold.samples", columns, where, table.version())
        return keep_sampled(settings.logs.user_share, batches) if "user_id" in columns else batches

    split = settings.logs.split
    if split == "auto":
        days = {value for batch in stream(["day"]) for value in pc.unique(batch["day"]).to_pylist()}
        split = "request" if days == {day} else "day"
    lengths = list[int]()

    def read_users() -> Iterator[pa.Array]:
        for batch in stream(["user_id"]):
            lengths.append(len(batch))
            yield batch["user_id"]

    users = distinct_strings(read_users())
    histories, rows = load_histories_of(lake, settings, items, day, users), Rows.allocate(sum(lengths))
    is_test, requests, start = np.zeros(len(rows), bool), [pa.array([], pa.string())], 0
    for part in large_parts(stream([*KEY, *TASKS]), len(users) + len(items.ids)):
        span = slice(start, start + part.num_rows)
        is_test[span] = part["day"].to_numpy() == np.datetime64(day)
        known_until = np.where(is_test[span], np.datetime64(day) + 1, np.datetime64(day))
        rows.put(span, build_rows(part, users, items, histories, known_until))
        requests += pc.coalesce(part["request_id"], part["sample_id"]).chunks if split == "request" else []
        start = span.stop
    if split == "request":
        is_test = _select_last_requests(requests, rows.ts, settings.logs.test_share)
    tasks, train, test = _split_rows(rows, is_test)
    rates, shown_histories = _cached_loaders(lake, settings, items, day, users)
    return Dataset(items, users, histories, rates, shown_histories, tasks, train, test, split)


def apply_settings(lake: Lake, settings: Settings, dataset: Dataset, day: date) -> Dataset:
    """The same rows, users and items, with histories and rates as other settings define them."""
    histories = load_histories_of(lake, settings, dataset.items, day, dataset.users)

    def set_ends(rows: Rows) -> Rows:
        end = histories.ends(rows.user, rows.until)
        return replace(rows, end=end, length=histories.lengths(rows.user, end))

    rates, shown_histories = _cached_loaders(lake, settings, dataset.items, day, dataset.users)
    return replace(
        dataset,
        histories=histories,
        load_rates=rates,
        load_shown_histories=shown_histories,
        train=set_ends(dataset.train),
        test=set_ends(dataset.test),
    )


def _cached_loaders(
    lake: Lake, settings: Settings, items: ItemFeatures, day: date, users: pa.Array
) -> tuple[Callable[[str], Rates], Callable[[], Histories]]:
    rates = cache(partial(load_rates, lake, settings, users, items, day))
    return rates, cache(partial(load_shown_histories, lake, settings, items, day, users))


def _split_rows(rows: Rows, is_test: NDArray[np.bool_]) -> tuple[tuple[str, ...], Rows, Rows]:
    """The tasks, the training rows and the test rows, each ordered: the order of files is not defined."""
    order = np.lexsort((*rows.labels.T, rows.until, rows.target, rows.user, rows.ts))
    known = np.isfinite(rows.labels)
    train = order[(~is_test & known.any(axis=1))[order]]  # rows that are too young to have a label are skipped
    test = order[is_test[order]]
    in_train, in_test = (known[part].any(axis=0) for part in (train, test))
    tasks = [*np.flatnonzero(in_train & in_test), *np.flatnonzero(in_train & ~in_test)]
    rows = replace(rows, labels=rows.labels[:, tasks])
    return tuple(TASKS[task] for task in tasks), rows.copy_to_files(train), rows.copy_to_files(test)


def _select_last_requests(requests: list[pa.Array], ts: Int64s, share: float) -> NDArray[np.bool_]:
    """Which rows [rows] belong to the last share of the requests, by the time at which a request began."""
    coded = pa.chunked_array(requests).dictionary_encode().unify_dictionaries().combine_chunks()
    request, names = coded.indices.to_numpy(), coded.dictionary
    began = np.full(len(names), np.iinfo(np.int64).max)
    np.minimum.at(began, request, ts)
    by_name = pc.sort_indices(names).to_numpy()
    place = np.empty(len(names), np.int64)
    place[by_name[np.argsort(began[by_name], kind="stable")]] = np.arange(len(names))
    return np.asarray(place[request] >= len(names) * (1 - share))


def build_rows(
    samples: pa.Table | pa.RecordBatch,
    users: pa.Array,
    items: ItemIndex,
    histories: Histories,
    known_until: NDArray[np.datetime64] | np.datetime64,
) -> Rows:
    """Samples with the indices of their users and items, and where their histories end.

    known_until  of each sample or of all: a click or purchase from this moment on is not known, its label is 0
    """
    user = pc.index_in(samples["user_id"], users).to_numpy(zero_copy_only=False).astype(np.int64)
    until = microseconds(samples["history_until"])
    end = histories.ends(user, until)
    labels = [samples[task].cast(pa.float32()).to_numpy(zero_copy_only=False) for task in TASKS]
    for task, moment in LABEL_TIMES.items():
        is_unknown = samples[moment].to_numpy(zero_copy_only=False) >= known_until  # false if there is no such moment
        place = TASKS.index(task)
        is_hidden = is_unknown & ~np.isnan(labels[place])  # a label that nobody knows stays unknown
        labels[place] = np.where(is_hidden, np.float32(0), labels[place])
    length, target = histories.lengths(user, end), items.index_of(samples["item_id"])
    return Rows(user, target, until, end, length, microseconds(samples["ts"]), np.stack(labels, axis=1))
