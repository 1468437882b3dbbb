"""Loads what users did as compact arrays: histories to search."""

from collections.abc import Iterator
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.lake import Lake
from jobs.lake.arrow import distinct_strings, large_parts
from jobs.ranking.event_log import POSITIVE, SHOWN, CancelledPurchases, EventLog, microseconds
from jobs.ranking.items import ItemIndex
from jobs.settings.tree import Settings
from models.arrays_in_files import file_backed_zeros
from models.ranker.event_kinds import EVENT_KINDS
from models.ranker.histories import EventPart, Histories, Int64s


def load_histories(
    lake: Lake,
    settings: Settings,
    items: ItemIndex,
    day: date,
) -> tuple[pa.Array, Histories]:
    """What every user had clicked, bought or liked at the end of `day`, in arrays that need not fit in memory.

    returns  user IDs, sorted, and their histories, with event types numbered by EVENT_KINDS
    """
    log = EventLog.open(lake, settings, day, at_end=True)
    users = distinct_strings(batch["user_id"] for batch in log.read(["user_id"]))
    return users, _sort_into_histories(log, users, items)


def load_histories_of(
    lake: Lake,
    settings: Settings,
    items: ItemIndex,
    day: date,
    users: pa.Array,
    events: tuple[str, ...] = POSITIVE,
    *,
    at_end: bool = False,
) -> Histories:
    """The histories of the given users until the end of `day`, with the given types of events.

    at_end  as for `EventLog.open`
    """
    log = EventLog.open(lake, settings, day, events, at_end=at_end, users=users)
    return _sort_into_histories(log, users, items)


def load_shown_histories(
    lake: Lake, settings: Settings, items: ItemIndex, day: date, users: pa.Array, *, at_end: bool = False
) -> Histories:
    """The histories of the given users, with all that they were shown: impressions, and ratings that are no likes."""
    return load_histories_of(lake, settings, items, day, users, (*POSITIVE, *SHOWN), at_end=at_end)


def _count_events(log: EventLog, users: pa.Array) -> Int64s:
    """The number of events of each user [users]."""
    counts = np.zeros(len(users), np.int64)
    for part in large_parts(log.read(["user_id"]), len(users)):
        index = pc.index_in(part["user_id"], users).drop_null()
        counts += np.bincount(index.to_numpy(), minlength=len(users))
    return counts


def _sort_into_histories(log: EventLog, users: pa.Array, items: ItemIndex) -> Histories:
    """The histories of users [users]. Events of other users are left out."""
    names = pa.array(["rating" if name == "like" else name for name in EVENT_KINDS])
    purchase = EVENT_KINDS["purchase"]

    def read_parts() -> Iterator[EventPart]:
        batches = log.read(["user_id", "item_id", "ts", "seq", "event"])
        for part in large_parts(batches, len(users) + len(items.ids)):
            user = pc.index_in(part["user_id"], users)
            events, user = part.filter(user.is_valid()), user.drop_null()
            kind = pc.fill_null(pc.index_in(events["event"], names), ~purchase)  # a cancel
            yield (
                user.to_numpy(),
                microseconds(events["ts"]),
                pc.fill_null(events["seq"], 0).to_numpy(),
                items.index_of(events["item_id"]),
                kind.to_numpy(),
            )

    histories = Histories.from_parts(_count_events(log, users), read_parts(), file_backed_zeros)
    if not log.cancelled.num_rows:
        return histories
    known_users = pc.is_in(log.cancelled["user_id"], users)
    cancelled = CancelledPurchases.from_rows(log.cancelled.filter(known_users), users, items)
    return histories.take_back(*cancelled, kind=purchase)
