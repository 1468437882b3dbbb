"""The events that models read, and the purchases among them that were cancelled."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from itertools import chain
from typing import NamedTuple, Protocol, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from jobs.lake import Lake
from jobs.landing.cancels import load_cancelled
from jobs.ranking.items import ItemIndex
from jobs.settings.tree import Settings
from models.ranker.histories import Int64s

HISTORIES, EVENTS = "silver.histories", "silver.events"
POSITIVE = ("click", "purchase", "rating")
SHOWN = ("impression", "dislike")  # dislike: a rating that is no like
EVERYTHING = ds.scalar(True)
FEW_USERS = 1000  # a list of so many is compared with each row
KEY = ("event", "day", "event_id", "item_id")  # names an event


class ReadEvents(Protocol):
    """Reads batches of the given columns."""

    def __call__(self, columns: list[str]) -> Iterator[pa.RecordBatch]: ...


@dataclass(frozen=True)
class EventLog:
    """The events of histories.

    read       reads them
    cancelled  the purchases that count only until they are cancelled. `read` has a second row for each of them, of type
               "cancel" and at the time of the cancel
    """

    read: ReadEvents
    cancelled: pa.Table

    @classmethod
    def open(
        cls,
        lake: Lake,
        settings: Settings,
        day: date,
        events: tuple[str, ...] = POSITIVE,
        *,
        at_end: bool,
        users: pa.Array | None = None,
    ) -> Self:
        """The events of known users until the end of `day`.

        users   whose events are wanted; if they are few, no others are read. None: all
        at_end  how purchases are treated that were cancelled until then. True: they are left out, for lists that are
                made at the end of the day. False: a history loses a purchase at the moment of its cancel, so that no
                sample knows of a later cancel
        """
        versions = {name: lake.delta(name).version() for name in (HISTORIES, EVENTS)}
        of_users = EVERYTHING
        if users is not None and 0 < len(users) <= FEW_USERS:  # silver.histories is sorted by user: most is skipped
            name, (first, last) = ds.field("user_id"), pc.min_max(users).values()
            of_users = (name >= first) & (name <= last) & name.isin(users)
        read_all = partial(_read_events, lake, settings, day, events, versions, of_users)
        cancelled = load_cancelled(lake, date.min, day)
        if at_end:
            return cls(partial(read_without, read_all, cancelled), cancelled.slice(0, 0))
        return cls(partial(_read_with_cancels, read_all, cancelled), cancelled)


def read_positive_events(
    lake: Lake,
    settings: Settings,
    day: date,
    columns: list[str],
    events: tuple[str, ...] = POSITIVE,
    version: int | None = None,
    since: date = date.min,
    where: ds.Expression = EVERYTHING,
) -> Iterator[pa.RecordBatch]:
    """What known users clicked, bought or liked from the day `since` to the end of `day`, or some of these types."""
    event = ds.field("event")
    is_liked = (event != "rating") | (ds.field("value") >= settings.logs.like_from)
    where = where & (ds.field("day") >= since) & (ds.field("day") <= day) & event.isin(events) & is_liked
    return lake.batches(HISTORIES, columns, where, version)


def first_shown_day(settings: Settings, day: date) -> date:
    """The first day whose impressions count, in histories and rates: as long before the training days as these last."""
    return day - timedelta(days=2 * settings.logs.train_days)


def _read_events(
    lake: Lake,
    settings: Settings,
    day: date,
    events: tuple[str, ...],
    versions: dict[str, int],
    of_users: ds.Expression,
    columns: list[str],
) -> Iterator[pa.RecordBatch]:
    positive = tuple(event for event in events if event not in SHOWN)
    parts = [read_positive_events(lake, settings, day, columns, positive, versions[HISTORIES], where=of_users)]
    until, event = of_users & (ds.field("day") <= day), ds.field("event")
    if "impression" in events:
        is_shown = (ds.field("day") >= first_shown_day(settings, day)) & (event == "impression")
        where = until & is_shown & ds.field("user_id").is_valid()
        parts.append(lake.batches(EVENTS, columns, where, versions[EVENTS]))
    if "dislike" in events:
        where = until & (event == "rating") & (ds.field("value") < settings.logs.like_from)
        parts.append(map(_name_dislikes, lake.batches(HISTORIES, columns, where, versions[HISTORIES])))
    return chain.from_iterable(parts)


def _name_dislikes(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Ratings that are no likes, as events of their own type."""
    if "event" not in batch.schema.names:
        return batch
    names = pa.repeat(pa.scalar("dislike", batch.schema.field("event").type), batch.num_rows)
    return batch.set_column(batch.schema.get_field_index("event"), batch.schema.field("event"), names)


def read_without(read: ReadEvents, cancelled: pa.Table, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Read the events without the purchases that were cancelled, the rows of `load_cancelled`."""
    if not cancelled.num_rows:
        yield from read(columns)
        return
    keys = set(zip(*(cancelled[name].to_pylist() for name in KEY), strict=True))
    for batch in read(list(dict.fromkeys([*columns, *KEY]))):
        # Few rows have the ID of a cancelled purchase. Only these are looked up.
        places = np.flatnonzero(pc.is_in(batch["event_id"], cancelled["event_id"]))
        suspects = batch.take(pa.array(places))
        is_cancelled = [key in keys for key in zip(*(suspects[name].to_pylist() for name in KEY), strict=True)]
        is_kept = np.ones(batch.num_rows, bool)
        is_kept[places[np.array(is_cancelled, bool)]] = False
        yield batch.filter(pa.array(is_kept)).select(columns)


def _read_with_cancels(read: ReadEvents, cancelled: pa.Table, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Read the events, and a second row of type "cancel" for each cancelled purchase."""
    yield from read(columns)
    cancels = {name: cancelled[name] for name in ("user_id", "item_id")} | {
        "ts": cancelled["cancelled_at"],
        "seq": pa.nulls(cancelled.num_rows, pa.int64()),
        "event": pa.array(["cancel"] * cancelled.num_rows, pa.string()),
    }
    yield from pa.table(cancels).select(columns).to_batches()


class CancelledPurchases(NamedTuple):
    """Purchases [purchases] that were cancelled.

    user, item        indices; -1: another user
    ts, cancelled_at  microseconds
    """

    user: Int64s
    item: Int64s
    ts: Int64s
    cancelled_at: Int64s

    @classmethod
    def from_rows(cls, cancelled: pa.Table, users: pa.Array, items: ItemIndex) -> Self:
        """The rows of `load_cancelled` as arrays."""
        user = pc.fill_null(pc.index_in(cancelled["user_id"], users), -1).to_numpy().astype(np.int64)
        moments = (microseconds(cancelled[name]) for name in ("ts", "cancelled_at"))
        return cls(user, items.index_of(cancelled["item_id"]), *moments)


def microseconds(column: pa.Array | pa.ChunkedArray) -> Int64s:
    """Times as microseconds since 1970."""
    return np.asarray(column.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy(zero_copy_only=False))
