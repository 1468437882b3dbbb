"""What users did, as compact arrays: histories to search, and running rates."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from jobs.lake import Lake, arrow_dataset
from jobs.lake.arrow import distinct_strings, file_backed_zeros, merge_stream
from jobs.ranking.items import Items
from jobs.settings.tree import Settings
from models.ranker.histories import EventPart, Histories
from models.ranker.rates import Events, Rates, Totals

POSITIVE = ("click", "purchase", "rating")
EVENTS = {"click": 0, "purchase": 1, "like": 2, "impression": 3}  # types, as histories number them
SHOWN = {"click": "impression", "purchase": "impression", "like": "rating"}
TAKEN = {"click": "click", "purchase": "purchase", "like": "rating"}
Ints = NDArray[np.int64]


def load_histories(
    lake: Lake, settings: Settings, items: Items, day: date, also: pa.ChunkedArray | pa.Array
) -> tuple[pa.Array, Histories]:
    """What every known user clicked, bought or liked up to and with `day`, in arrays that need not fit in memory.

    also     users who get an index even without a history
    returns  user ids, sorted, and their histories, with types of events by EVENTS
    """
    read = partial(positive_events, lake, settings, day, version=lake.delta("silver.events").version())
    acted = _counted(read)
    users = distinct_strings([also, *acted["values"].chunks])
    return users, _sorted(read, acted, users, items)


def histories_of(
    lake: Lake, settings: Settings, items: Items, day: date, users: pa.Array, events: tuple[str, ...] = POSITIVE
) -> Histories:
    """The histories of those users up to and with `day`, of those types of events."""
    version = lake.delta("silver.events").version()
    read = partial(positive_events, lake, settings, day, events=events, version=version)
    return _sorted(read, _counted(read), users, items)


def load_histories_with_impressions(
    lake: Lake, settings: Settings, items: Items, day: date, users: pa.Array
) -> Histories:
    """The histories of those users, with what they were shown beside what they did."""
    return histories_of(lake, settings, items, day, users, (*POSITIVE, "impression"))


def _counted(read: Callable[[list[str]], Iterator[pa.RecordBatch]]) -> pa.Table:
    """Users (`values`) and how many events they have (`counts`)."""
    none = pa.table({"values": pa.array([], pa.string()), "counts": pa.array([], pa.int64())})

    def added(parts: list[pa.Table]) -> pa.Table:
        sums = pa.concat_tables([none, *parts]).group_by("values").aggregate([("counts", "sum")])
        return sums.rename_columns({"counts_sum": "counts"})

    return merge_stream(
        (pa.Table.from_struct_array(pc.value_counts(one["user_id"])) for one in read(["user_id"])), added
    )


def _sorted(
    read: Callable[[list[str]], Iterator[pa.RecordBatch]], acted: pa.Table, users: pa.Array, items: Items
) -> Histories:
    """The histories of users [users]; events of others are left out."""
    names = pa.array(["rating" if name == "like" else name for name in EVENTS])

    def parts() -> Iterator[EventPart]:
        for batch in read(["user_id", "item_id", "ts", "seq", "event"]):
            mine = batch.filter(pc.is_in(batch["user_id"], users))
            yield (
                pc.index_in(mine["user_id"], users).to_numpy(zero_copy_only=False),
                mine["ts"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy(),
                pc.fill_null(mine["seq"], 0).to_numpy(),
                items.index(mine["item_id"]),
                pc.index_in(mine["event"], names).to_numpy(zero_copy_only=False),
            )

    counts, acted = np.zeros(len(users), np.int64), acted.filter(pc.is_in(acted["values"], users))
    counts[pc.index_in(acted["values"], users).to_numpy()] = acted["counts"].to_numpy()
    return Histories.from_parts(counts, parts(), file_backed_zeros)


def positive_events(
    lake: Lake,
    settings: Settings,
    day: date,
    columns: list[str],
    events: tuple[str, ...] = POSITIVE,
    version: int | None = None,
) -> Iterator[pa.RecordBatch]:
    """What known users clicked, bought or liked up to and with `day`, or other types of events."""
    event = ds.field("event")
    liked = (event != "rating") | (ds.field("value") >= settings.logs.like_from)
    where = (ds.field("day") <= day) & event.isin(events) & liked & ds.field("user_id").is_valid()
    return lake.batches("silver.events", columns, where, version)


def load_rates(lake: Lake, settings: Settings, users: pa.Array, items: Items, day: date, task: str) -> Rates:
    """What was shown and taken, for one task, in the days that the ranker is trained on and as many before them."""
    days = settings.logs.train_days

    def read(event: str, liked: bool) -> Events:
        table = lake.delta("silver.events")
        where = _where(settings, (day - timedelta(days=2 * days), day), event, liked)
        rows = arrow_dataset(table).count_rows(filter=where)
        user, item, ts = (file_backed_zeros(rows, np.dtype(kind)) for kind in (np.int32, np.int32, np.int64))
        at = 0
        for part in _parts(lake, users, items, where, table.version()):
            here = slice(at, at := at + len(part[0]))
            user[here], item[here], ts[here] = part
        return user, item, ts

    shown, taken = read(SHOWN[task], liked=False), read(TAKEN[task], liked=True)
    window = days * 86_400_000_000
    return Rates.from_arrays(shown, taken, len(users), len(items.ids), window, file_backed_zeros)


def load_totals(lake: Lake, settings: Settings, users: pa.Array, items: Items, day: date, task: str) -> Totals:
    """The same as of the end of `day`."""
    span = (day - timedelta(days=settings.logs.train_days - 1), day)
    shown = _parts(lake, users, items, _where(settings, span, SHOWN[task], liked=False))
    taken = _parts(lake, users, items, _where(settings, span, TAKEN[task], liked=True))
    return Totals.count(shown, taken, len(users), len(items.ids))


def _where(settings: Settings, days: tuple[date, date], event: str, liked: bool) -> ds.Expression:
    where = (ds.field("day") >= days[0]) & (ds.field("day") <= days[1]) & (ds.field("event") == event)
    return where & (ds.field("value") >= settings.logs.like_from) if liked and event == "rating" else where


def _parts(
    lake: Lake, users: pa.Array, items: Items, where: ds.Expression, version: int | None = None
) -> Iterator[Events]:
    for batch in lake.batches("silver.events", ["user_id", "item_id", "ts"], where, version):
        user = pc.fill_null(pc.index_in(batch["user_id"], users), -1).to_numpy(zero_copy_only=False)
        ts = batch["ts"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
        yield user.astype(np.int32), items.index(batch["item_id"]).astype(np.int32), ts
