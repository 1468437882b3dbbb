"""Loads the running rates of users and items: how often they were shown and taken."""

from collections.abc import Iterator
from datetime import date, timedelta
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from jobs.lake import Lake, arrow_dataset
from jobs.lake.arrow import large_parts
from jobs.landing.cancels import CANCELLED, load_cancelled
from jobs.ranking.event_log import CancelledPurchases, first_shown_day, microseconds, read_without
from jobs.ranking.items import ItemIndex
from jobs.ranking.model_users import choose_model_users
from jobs.settings.tree import Settings
from models.arrays_in_files import file_backed_zeros
from models.ranker.rates import Events, Rates, Totals

NOTHING_CANCELLED = CANCELLED.empty_table()
SHOWN_BY = {"click": "impression", "purchase": "impression", "like": "rating"}  # task: event that shows an item
TAKEN_BY = {"click": "click", "purchase": "purchase", "like": "rating"}  # task: event that takes an item


def load_rates(lake: Lake, settings: Settings, users: pa.Array, items: ItemIndex, day: date, task: str) -> Rates:
    """What was shown and taken, for one task, in the days that the ranker is trained on and as many before them.

    users  of the rows whose rates are wanted. If they are a sample (see `choose_model_users`), only what they did
           counts, also for items: the events of all users would not fit on one machine
    """
    span, counted = (first_shown_day(settings, day), day), users if len(users) >= settings.logs.model_users else None

    def read(event: str, only_liked: bool) -> Events:
        table = lake.delta("silver.events")
        where = _filter_events(settings, span, event, only_liked)
        rows = arrow_dataset(table).count_rows(filter=where)
        user, item, ts = (file_backed_zeros(rows, np.dtype(dtype)) for dtype in (np.int32, np.int32, np.int64))
        start = 0
        for part in _read_parts(lake, users, items, where, table.version(), counted=counted):
            stop = start + len(part[0])
            user[start:stop], item[start:stop], ts[start:stop] = part
            start = stop
        return user[:start], item[:start], ts[:start]

    shown, taken = read(SHOWN_BY[task], only_liked=False), read(TAKEN_BY[task], only_liked=True)
    cancelled_rows = _load_cancelled(lake, span, task)
    if counted is not None:
        cancelled_rows = cancelled_rows.filter(pc.is_in(cancelled_rows["user_id"], counted))
    cancelled = CancelledPurchases.from_rows(cancelled_rows, users, items)
    window = settings.logs.train_days * 86_400_000_000
    sizes = len(users), len(items.ids)
    return Rates.from_arrays(
        shown, taken, *sizes, window, file_backed_zeros, cancelled=cancelled[:3], cancelled_at=cancelled.cancelled_at
    )


def load_totals(lake: Lake, settings: Settings, users: pa.Array, items: ItemIndex, day: date, task: str) -> Totals:
    """The counts behind the rates at the end of `day`. Items are counted as they are in training, see `load_rates`."""
    span = (day - timedelta(days=settings.logs.train_days - 1), day)
    read = partial(_read_parts, lake, users, items, counted=_find_counted_users(lake, settings, day))
    shown = read(_filter_events(settings, span, SHOWN_BY[task], only_liked=False))
    where = _filter_events(settings, span, TAKEN_BY[task], only_liked=True)
    taken = read(where, cancelled=_load_cancelled(lake, span, task))
    return Totals.count(shown, taken, len(users), len(items.ids))


def _find_counted_users(lake: Lake, settings: Settings, day: date) -> pa.Array | None:
    """The users that a model of the day learns from if they are a sample, otherwise None."""
    first, table = day - timedelta(days=settings.logs.train_days), "gold.samples"
    if lake.count_rows(table, first, day) < settings.logs.model_users:  # fewer rows, so fewer users
        return None
    chosen = choose_model_users(lake, settings, arrow_dataset(lake.delta(table)), first, day)
    return chosen.ids if chosen.is_sample else None


def _filter_events(settings: Settings, days: tuple[date, date], event: str, only_liked: bool) -> ds.Expression:
    where = (ds.field("day") >= days[0]) & (ds.field("day") <= days[1]) & (ds.field("event") == event)
    return where & (ds.field("value") >= settings.logs.like_from) if only_liked and event == "rating" else where


def _load_cancelled(lake: Lake, days: tuple[date, date], task: str) -> pa.Table:
    return load_cancelled(lake, *days) if TAKEN_BY[task] == "purchase" else NOTHING_CANCELLED


def _read_parts(
    lake: Lake,
    users: pa.Array,
    items: ItemIndex,
    where: ds.Expression,
    version: int | None = None,
    cancelled: pa.Table = NOTHING_CANCELLED,
    counted: pa.Array | None = None,
) -> Iterator[Events]:
    """Users, items and times of the events, without the cancelled purchases.

    counted  users whose events count for items, None: all. The item of other events is -1; they are left out if the
             user is unknown, too
    """
    read = partial(lake.batches, "silver.events", where=where, version=version)
    batches = read_without(read, cancelled, ["user_id", "item_id", "ts"])
    for part in large_parts(batches, len(users) + len(items.ids)):
        user = pc.fill_null(pc.index_in(part["user_id"], users), -1).to_numpy().astype(np.int32)
        item, ts = items.index_of(part["item_id"]).astype(np.int32), microseconds(part["ts"])
        if counted is None:
            yield user, item, ts
            continue
        item[~pc.is_in(part["user_id"], counted).to_numpy(zero_copy_only=False)] = -1
        is_of_use = (user >= 0) | (item >= 0)
        yield user[is_of_use], item[is_of_use], ts[is_of_use]
