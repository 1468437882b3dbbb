"""Loads what users did as compact arrays: histories to search, and running rates."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from jobs.lake import Lake, arrow_dataset
from jobs.lake.arrow import distinct_strings, file_backed_zeros, merge_stream
from jobs.ranking.items import ItemIndex
from jobs.settings.tree import Settings
from models.ranker.histories import EventPart, Histories
from models.ranker.rates import Events, Rates, Totals

POSITIVE = ("click", "purchase", "rating")
EVENT_KINDS = {"click": 0, "purchase": 1, "like": 2, "impression": 3}  # numbers of event types in histories
SHOWN_BY = {"click": "impression", "purchase": "impression", "like": "rating"}  # task: event that shows an item
TAKEN_BY = {"click": "click", "purchase": "purchase", "like": "rating"}  # task: event that takes an item
ReadEvents = Callable[[list[str]], Iterator[pa.RecordBatch]]  # batches of the given columns


def load_histories(
    lake: Lake, settings: Settings, items: ItemIndex, day: date, more_users: pa.ChunkedArray | pa.Array
) -> tuple[pa.Array, Histories]:
    """What every user clicked, bought or liked until the end of `day`, in arrays that need not fit in memory.

    more_users  users who get an index even without a history
    returns     user IDs, sorted, and their histories, with event types numbered by EVENT_KINDS
    """
    read = partial(read_positive_events, lake, settings, day, version=lake.delta("silver.events").version())
    counts = _count_events_per_user(read)
    users = distinct_strings([more_users, *counts["values"].chunks])
    return users, _sort_into_histories(read, counts, users, items)


def load_histories_of(
    lake: Lake, settings: Settings, items: ItemIndex, day: date, users: pa.Array, events: tuple[str, ...] = POSITIVE
) -> Histories:
    """The histories of the given users until the end of `day`, with the given types of events."""
    version = lake.delta("silver.events").version()
    read = partial(read_positive_events, lake, settings, day, events=events, version=version)
    return _sort_into_histories(read, _count_events_per_user(read), users, items)


def load_histories_with_impressions(
    lake: Lake, settings: Settings, items: ItemIndex, day: date, users: pa.Array
) -> Histories:
    """The histories of the given users, with impressions beside what they clicked, bought or liked."""
    return load_histories_of(lake, settings, items, day, users, (*POSITIVE, "impression"))


def _count_events_per_user(read: ReadEvents) -> pa.Table:
    """Users (`values`) and their number of events (`counts`)."""
    empty = pa.table({"values": pa.array([], pa.string()), "counts": pa.array([], pa.int64())})

    def add_up(parts: list[pa.Table]) -> pa.Table:
        sums = pa.concat_tables([empty, *parts]).group_by("values").aggregate([("counts", "sum")])
        return sums.rename_columns({"counts_sum": "counts"})

    batches = read(["user_id"])
    return merge_stream((pa.Table.from_struct_array(pc.value_counts(batch["user_id"])) for batch in batches), add_up)


def _sort_into_histories(read: ReadEvents, counts: pa.Table, users: pa.Array, items: ItemIndex) -> Histories:
    """The histories of users [users]. Events of other users are left out."""
    names = pa.array(["rating" if name == "like" else name for name in EVENT_KINDS])

    def read_parts() -> Iterator[EventPart]:
        for batch in read(["user_id", "item_id", "ts", "seq", "event"]):
            events = batch.filter(pc.is_in(batch["user_id"], users))
            yield (
                pc.index_in(events["user_id"], users).to_numpy(zero_copy_only=False),
                events["ts"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy(),
                pc.fill_null(events["seq"], 0).to_numpy(),
                items.index_of(events["item_id"]),
                pc.index_in(events["event"], names).to_numpy(zero_copy_only=False),
            )

    counts = counts.filter(pc.is_in(counts["values"], users))
    user_counts = np.zeros(len(users), np.int64)
    user_counts[pc.index_in(counts["values"], users).to_numpy()] = counts["counts"].to_numpy()
    return Histories.from_parts(user_counts, read_parts(), file_backed_zeros)


def read_positive_events(
    lake: Lake,
    settings: Settings,
    day: date,
    columns: list[str],
    events: tuple[str, ...] = POSITIVE,
    version: int | None = None,
) -> Iterator[pa.RecordBatch]:
    """What known users clicked, bought or liked until the end of `day`, or other types of events."""
    event = ds.field("event")
    is_liked = (event != "rating") | (ds.field("value") >= settings.logs.like_from)
    where = (ds.field("day") <= day) & event.isin(events) & is_liked & ds.field("user_id").is_valid()
    return lake.batches("silver.events", columns, where, version)


def load_rates(lake: Lake, settings: Settings, users: pa.Array, items: ItemIndex, day: date, task: str) -> Rates:
    """What was shown and taken, for one task, in the days that the ranker is trained on and as many before them."""
    days = settings.logs.train_days
    span = (day - timedelta(days=2 * days), day)

    def read(event: str, only_liked: bool) -> Events:
        table = lake.delta("silver.events")
        where = _filter_events(settings, span, event, only_liked)
        rows = arrow_dataset(table).count_rows(filter=where)
        user, item, ts = (file_backed_zeros(rows, np.dtype(dtype)) for dtype in (np.int32, np.int32, np.int64))
        start = 0
        for part in _read_parts(lake, users, items, where, table.version()):
            stop = start + len(part[0])
            user[start:stop], item[start:stop], ts[start:stop] = part
            start = stop
        return user, item, ts

    shown, taken = read(SHOWN_BY[task], only_liked=False), read(TAKEN_BY[task], only_liked=True)
    window = days * 86_400_000_000
    return Rates.from_arrays(shown, taken, len(users), len(items.ids), window, file_backed_zeros)


def load_totals(lake: Lake, settings: Settings, users: pa.Array, items: ItemIndex, day: date, task: str) -> Totals:
    """The counts behind the rates at the end of `day`."""
    span = (day - timedelta(days=settings.logs.train_days - 1), day)
    shown = _read_parts(lake, users, items, _filter_events(settings, span, SHOWN_BY[task], only_liked=False))
    taken = _read_parts(lake, users, items, _filter_events(settings, span, TAKEN_BY[task], only_liked=True))
    return Totals.count(shown, taken, len(users), len(items.ids))


def _filter_events(settings: Settings, days: tuple[date, date], event: str, only_liked: bool) -> ds.Expression:
    where = (ds.field("day") >= days[0]) & (ds.field("day") <= days[1]) & (ds.field("event") == event)
    return where & (ds.field("value") >= settings.logs.like_from) if only_liked and event == "rating" else where


def _read_parts(
    lake: Lake, users: pa.Array, items: ItemIndex, where: ds.Expression, version: int | None = None
) -> Iterator[Events]:
    for batch in lake.batches("silver.events", ["user_id", "item_id", "ts"], where, version):
        user = pc.fill_null(pc.index_in(batch["user_id"], users), -1).to_numpy(zero_copy_only=False)
        ts = batch["ts"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
        yield user.astype(np.int32), items.index_of(batch["item_id"]).astype(np.int32), ts
