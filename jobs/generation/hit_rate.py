"""How many of the items that users act on next a source finds."""

import numpy as np

from models.generator import seen_items
from models.generator.finders import FindItems
from models.ranker.histories import Histories, Int64s


def measure_hit_rate(
    find_items: FindItems, histories: Histories, users: Int64s, before: Int64s, after: Int64s, k: int, n_items: int
) -> tuple[float, int]:
    """Of all items that users acted on for the first time in a period, the share in the lists made at its beginning.

    before, after  [users] where the histories of these users end at the beginning and at the end of the period
    returns        the share, NaN if there is no such item, and the number of such items
    """
    new = np.setdiff1d(_seen_keys(histories, users, after, n_items), _seen_keys(histories, users, before, n_items))
    items, _ = find_items(histories, users, before, k)
    rows, places = np.nonzero(items >= 0)
    is_hit = np.isin(new, rows * n_items + items[rows, places])
    return (float(is_hit.mean()) if len(new) else np.nan), len(new)


def _seen_keys(histories: Histories, users: Int64s, ends: Int64s, n_items: int) -> Int64s:
    """A number for each user (its place) and each item that the user has acted on; a pair may be repeated."""
    offsets, items = seen_items(histories, users, ends)
    return np.repeat(np.arange(len(users)), np.diff(offsets)) * n_items + items
