"""Loads the running rates of users and items: how often they were shown and taken."""

from collections.abc import Iterator
from datetime import date, timedelta
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from jobs.lake import Lake
from jobs.lake.arrow import large_parts
from jobs.landing.cancels import CANCELLED, load_cancelled
from jobs.ranking.event_log import CancelledPurchases, first_shown_day, microseconds, read_without
from jobs.ranking.items import ItemIndex
from jobs.ranking.user_sample import are_sampled
from jobs.settings.tree import Settings
from models.arrays_in_files import file_backed_zeros, join_in_files
from models.ranker.rates import Events, Rates, Totals

NOTHING_CANCELLED = CANCELLED.empty_table()
SHOWN_BY = {"click": "impression", "purchase": "impression", "like": "rating"}  # task: event that shows an item
KINDS = (np.dtype(np.int32), np.dtype(np.int32), np.dtype(np.int64))  # of the columns of events
TAKEN_BY = {"click": "click", "purchase": "purchase", "like": "rating"}  # task: event that takes an item


def load_rates(lake: Lake, settings: Settings, users: pa.Array, items: ItemIndex, day: date, task: str) -> Rates:
    """What was shown and taken, for one task, in the days that the ranker is trained on and as many before them.

    For items, only what users of the sample did counts: the events of all users may not fit on one machine.
    """
    span = (first_shown_day(settings, day), day)

    def read(event: str, only_liked: bool) -> Events:
        where = _filter_events(settings, span, event, only_liked)
        parts = _read_parts(lake, settings.logs.user_share, users, items, where)
        user, item, ts = join_in_files(map(_drop_uncounted, parts), KINDS)
        return user, item, ts

    shown, taken = read(SHOWN_BY[task], only_liked=False), read(TAKEN_BY[task], only_liked=True)
    cancelled_rows = _load_cancelled(lake, span, task)
    cancelled = CancelledPurchases.from_rows(cancelled_rows, users, items)
    cancelled_item = np.where(are_sampled(settings.logs.user_share, cancelled_rows["user_id"]), cancelled.item, -1)
    of_cancelled = cancelled.user, cancelled_item, cancelled.ts
    window = settings.logs.train_days * 86_400_000_000
    sizes = len(users), len(items.ids)
    return Rates.from_arrays(
        shown, taken, *sizes, window, file_backed_zeros, cancelled=of_cancelled, cancelled_at=cancelled.cancelled_at
    )


def load_totals(lake: Lake, settings: Settings, users: pa.Array, items: ItemIndex, day: date, task: str) -> Totals:
    """The counts behind the rates at the end of `day`. For items, only what users of the sample did counts."""
    span = (day - timedelta(days=settings.logs.train_days - 1), day)
    read = partial(_read_parts, lake, settings.logs.user_share, users, items)
    shown = read(_filter_events(settings, span, SHOWN_BY[task], only_liked=False))
    where = _filter_events(settings, span, TAKEN_BY[task], only_liked=True)
    taken = read(where, cancelled=_load_cancelled(lake, span, task))
    return Totals.count(shown, taken, len(users), len(items.ids))


def _filter_events(settings: Settings, days: tuple[date, date], event: str, only_liked: bool) -> ds.Expression:
    where = (ds.field("day") >= days[0]) & (ds.field("day") <= days[1]) & (ds.field("event") == event)
    return where & (ds.field("value") >= settings.logs.like_from) if only_liked and event == "rating" else where


def _load_cancelled(lake: Lake, days: tuple[date, date], task: str) -> pa.Table:
    return load_cancelled(lake, *days) if TAKEN_BY[task] == "purchase" else NOTHING_CANCELLED


def _read_parts(
    lake: Lake,
    share: float,
    users: pa.Array,
    items: ItemIndex,
    where: ds.Expression,
    cancelled: pa.Table = NOTHING_CANCELLED,
) -> Iterator[Events]:
    """Users, items and times of the events, without the cancelled purchases.

    The user is -1 if it is not among `users`, and the item is -1 if the user is not in the sample.
    """
    read = partial(lake.batches, "silver.events", where=where)
    batches = read_without(read, cancelled, ["user_id", "item_id", "ts"])
    for part in large_parts(batches, len(users) + len(items.ids)):
        user = pc.fill_null(pc.index_in(part["user_id"], users), -1).to_numpy()
        item = np.where(are_sampled(share, part["user_id"]), items.index_of(part["item_id"]), -1)
        yield user.astype(np.int32), item.astype(np.int32), microseconds(part["ts"])


def _drop_uncounted(events: Events) -> Events:
    """The events that count for a user or for an item."""
    user, item, ts = events
    is_counted = (user >= 0) | (item >= 0)
    return (user, item, ts) if is_counted.all() else (user[is_counted], item[is_counted], ts[is_counted])
