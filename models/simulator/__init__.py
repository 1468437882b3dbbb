"""A seeded shop: items, users whose tastes drift, and the log they leave, one day at a time.

Each day is drawn from (seed, day) and from what the world is by then; no day keeps another's events,
so any number of events can be made as a stream in the memory of one day.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.simulator.behaviour import parse_day
from models.simulator.faults import LATE_SHARE, plant
from models.simulator.rows import Rows
from models.simulator.truth import Truth
from models.simulator.words import item_rows
from models.simulator.world import Catalogue, People

DAYS_NEW = 3  # so long exploration favours an item


@dataclass
class Day:
    day: date
    items: list[dict[str, Any]]  # landing format without item_id and updated_at
    item_numbers: NDArray[np.int64]  # [len(items)]
    prices: NDArray[np.float64]  # [all items so far]
    events: Rows
    truth: Truth


def simulate(
    *, days: list[date], items: int, users: int, events_per_day: int, new_items_per_day: int, seed: int,
    faults: float = 0.002,
) -> Iterator[Day]:  # fmt: skip
    """Yield one Day after the other; the first brings the whole catalogue, later ones new and changed items.

    events_per_day  about so many; faults: share of bad or late lines, 0 for none
    raises          ValueError if days are not in a row, or a size is not positive
    """
    if any(later - earlier != timedelta(days=1) for earlier, later in pairwise(days)):
        raise ValueError("the simulated days must follow each other without a gap")
    if min(items, users, events_per_day) < 1 or new_items_per_day < 0:
        raise ValueError("items, users and events a day must be at least 1, new items a day at least 0")
    rng = np.random.default_rng(seed)
    catalogue, people = Catalogue(), People(rng, users)
    for index, day in enumerate(days):
        rng = np.random.default_rng([seed, day.toordinal()])
        numbers = catalogue.add(rng, new_items_per_day if index else items)
        texts = _texts(catalogue, numbers, 0, seed)
        if index:
            people.drift(rng)
            changed = np.sort(rng.choice(items, min(items, new_items_per_day // 2), replace=False))
            texts += _texts(catalogue, changed, index, seed)
            numbers = np.concatenate([numbers, changed])
        rows, truth = parse_day(
            rng, catalogue, people, day=day.toordinal(), events=events_per_day,
            late=faults * LATE_SHARE if index else 0.0,  # before the first day there was no shop
            fresh=new_items_per_day * min(index, DAYS_NEW),
        )  # fmt: skip
        yield Day(day, texts, numbers, catalogue.price, plant(rng, rows, faults), truth)


def _texts(catalogue: Catalogue, numbers: NDArray[np.int64], version: int, seed: int) -> list[dict[str, Any]]:
    return item_rows(
        numbers, catalogue.leaf[numbers], catalogue.brand[numbers], catalogue.price[numbers], version, seed
    )
