"""A simulated shop, repeatable by its seed: items, users whose tastes drift, and the log that they leave day by day.

Each day is drawn from (seed, day) and from the state of the shop on that day. No day keeps the events of another, so
a log of any length needs the memory of one day.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.simulator.behaviour import simulate_visits
from models.simulator.faults import LATE_SHARE, plant_faults
from models.simulator.rows import Rows
from models.simulator.truth import Truth
from models.simulator.words import build_item_texts
from models.simulator.world import Catalogue, People

DAYS_NEW = 3  # number of days for which exploration favours a new item


@dataclass
class Day:
    day: date
    items: list[dict[str, Any]]  # new and changed items in the landing format, without item_id and updated_at
    item_numbers: NDArray[np.int64]  # [len(items)]
    prices: NDArray[np.float64]  # [all items so far]
    events: Rows
    truth: Truth


def simulate(
    *, days: list[date], items: int, users: int, events_per_day: int, new_items_per_day: int, seed: int,
    faults: float = 0.002,
) -> Iterator[Day]:  # fmt: skip
    """Yield one Day after another. The first holds the whole catalogue, later ones new and changed items.

    items           number of items on the first day
    events_per_day  approximate number of rows
    faults          share of bad or late rows; 0: none
    raises          ValueError if the days have a gap, or a size is not positive
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
        texts = _build_texts(catalogue, numbers, 0, seed)
        if index:
            people.drift(rng)
            changed = np.sort(rng.choice(items, min(items, new_items_per_day // 2), replace=False))
            texts += _build_texts(catalogue, changed, index, seed)
            numbers = np.concatenate([numbers, changed])
        rows, truth = simulate_visits(
            rng, catalogue, people, day=day.toordinal(), events=events_per_day,
            late_share=faults * LATE_SHARE if index else 0.0,  # before the first day, the shop had no visits
            new_items=new_items_per_day * min(index, DAYS_NEW),
        )  # fmt: skip
        yield Day(day, texts, numbers, catalogue.price, plant_faults(rng, rows, faults), truth)


def _build_texts(catalogue: Catalogue, numbers: NDArray[np.int64], version: int, seed: int) -> list[dict[str, Any]]:
    return build_item_texts(
        numbers, catalogue.leaf[numbers], catalogue.brand[numbers], catalogue.price[numbers], version, seed
    )
