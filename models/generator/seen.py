"""The items that users have seen: those of the known parts of their histories."""

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
