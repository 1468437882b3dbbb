"""What users have seen: the events of the known parts of their histories that were not taken back."""

import numpy as np

from models.ranker.histories import Histories, Int64s, Ints


def seen_items(histories: Histories, users: Ints, ends: Int64s) -> tuple[Int64s, Ints]:
    """The items of each user's events before the ends [users], without events that were taken back.

    returns  offsets [users + 1] and items [events]: user u has items[offsets[u]:offsets[u + 1]], in the order of events
    """
    begins = histories.offsets[users]
    counts = ends - begins
    rows = np.repeat(np.arange(len(users)), counts)
    events = np.arange(len(rows)) + np.repeat(begins - np.cumsum(counts) + counts, counts)
    is_visible = ~histories.is_hidden(events, ends[rows])
    offsets = np.searchsorted(rows[is_visible], np.arange(len(users) + 1))
    return offsets, histories.items[events[is_visible]]


def go_back(histories: Histories, users: Ints, first: Int64s, ends: Int64s, count: int) -> Int64s:
    """Positions [users] with `count` events between them and `first`, or where the history begins.

    Events that were taken back before the end are not counted. Each step back doubles the length, so a history with
    many such events costs little more.

    first, ends  [users], a position in the history, and where the history ends
    """
    begins = histories.offsets[users]
    starts = np.maximum(first - count, begins)
    if histories.hidden_by is None:
        return starts
    while True:
        offsets = np.concatenate([[0], np.cumsum(first - starts)])
        rows = np.repeat(np.arange(len(users)), np.diff(offsets))
        events = np.arange(len(rows)) - offsets[rows] + starts[rows]
        is_visible = ~histories.is_hidden(events, ends[rows])
        before = np.concatenate([[0], np.cumsum(is_visible)])
        is_short = (before[offsets[1:]] - before[offsets[:-1]] < count) & (starts > begins)
        if not is_short.any():
            remaining = before[offsets[1:]][rows] - before[:-1]
            is_start = is_visible & (remaining == count)
            starts[rows[is_start]] = events[is_start]
            return starts
        starts[is_short] = np.maximum(2 * starts[is_short] - first[is_short], begins[is_short])
