"""A small world with clusters: a user of cluster c mostly acts on items of cluster c."""

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
USERS, ITEMS, CLUSTERS, EACH = 90, 60, 6, 12
NEW_ITEMS = 4  # the last items have no events


def draw_events(seed: int = 0) -> tuple[Int64s, Int64s]:
    """Users and items [events]. Item i and user u are in the clusters i % CLUSTERS and u % CLUSTERS."""
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(USERS), EACH)
    items = rng.integers(0, (ITEMS - NEW_ITEMS) // CLUSTERS, len(users)) * CLUSTERS + users % CLUSTERS
    return users, np.where(rng.random(len(users)) < 0.1, rng.integers(0, ITEMS - NEW_ITEMS, len(users)), items)
