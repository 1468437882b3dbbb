"""Counts how often an item comes shortly after another one: what the item graph is made from.

The counts of several parts of a log can be added, so a day costs what the day holds.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.generator.seen import go_back
from models.ranker.histories import Histories, Int64s
from models.ranker.sorting import split_into_ranges

WINDOW = 8  # an item counts as a successor of at most this many items before it
Matrix = Any  # a scipy.sparse.csr_matrix; scipy has no types


class Pairs(NamedTuple):
    """Items that follow each other, each pair once, sorted.

    before, after  [pairs] int64, item indices
    weight         [pairs] float64, the sum of 1 / (number of events from one to the other)
    """

    before: Int64s
    after: Int64s
    weight: NDArray[np.float64]


def count_pairs(histories: Histories, ends: Int64s, window: int = WINDOW, *, since: Int64s | None = None) -> Pairs:
    """Count the pairs of items that are at most `window` events apart in a history.

    ends     [users] where the known history of each user ends
    since    [users] count only pairs whose later event is at this position or after it; all pairs by default. The
             counts of a history until `since` and from then on add up to those of the whole history. Costs what
             happened since then, not what the whole histories hold.
    """
    first = histories.offsets[:-1] if since is None else since
    users = np.flatnonzero(first < ends)
    first, ends = first[users], ends[users]
    starts = go_back(histories, users, first, ends, window)
    offsets = np.concatenate([[0], np.cumsum(ends - starts)])
    total: Matrix = sparse.csr_matrix((0, 0))
    for rows, places in split_into_ranges(offsets):
        events = np.arange(places.start, places.stop) - offsets[rows] + starts[rows]
        is_visible = ~histories.is_hidden(events, ends[rows])
        rows, events = rows[is_visible], events[is_visible]
        items, is_counted = histories.items[events], events >= first[rows]
        before, after, weights = [], [], []
        for distance in range(1, window + 1):
            is_pair = (rows[:-distance] == rows[distance:]) & is_counted[distance:]
            before.append(items[:-distance][is_pair])
            after.append(items[distance:][is_pair])
            weights.append(np.full(len(after[-1]), 1 / distance))
        n_items = max(total.shape[0], int(items.max(initial=-1)) + 1)
        total.resize((n_items, n_items))
        pairs = np.concatenate(before), np.concatenate(after)
        total += sparse.csr_matrix((np.concatenate(weights), pairs), total.shape)
    total.sum_duplicates()
    counts = total.tocoo()
    return Pairs(counts.row.astype(np.int64), counts.col.astype(np.int64), counts.data)
