"""What users did as arrays: serving counts what training counted."""

from datetime import UTC, date, datetime, timedelta
from itertools import product

import numpy as np
import pyarrow as pa
import pytest

from jobs.lake import Lake
from jobs.ranking.histories import load_rates, load_totals
from jobs.ranking.items import Items
from jobs.settings.tree import Settings
from models.ranker.rates import Totals
from tests.jobs.lake_rows import DAY, put

USERS, ITEMS = ("u1", "u2", "u3"), ("i1", "i2", "i3", "i4")
DAYS = 3  # of training
MIDNIGHT = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC) + timedelta(days=1)  # when the day ends
TICK = timedelta(microseconds=1)


def event(
    number: int, kind: str, user: str, item: str, before: timedelta, value: float | None = None
) -> dict[str, object]:
    """An event so long before the midnight after DAY."""
    ts = MIDNIGHT - before
    told = {"event_id": f"e{number}", "event": kind, "user_id": user, "item_id": item, "ts": ts, "value": value}
    return {**told, "landed_day": ts.date(), "day": ts.date()}


def put_log(lake: Lake) -> None:
    """Everything that may happen to each user and item, on both sides of both ends of the days of training."""
    last, first = TICK, timedelta(days=DAYS)
    moments = (last, timedelta(hours=5), timedelta(days=1), first - TICK, first, first + TICK, 2 * first, -TICK)
    kinds = (("impression", None), ("click", None), ("purchase", None), ("rating", 5.0), ("rating", 1.0))
    draw = np.random.default_rng(0)
    all_ = [one for one in product(moments, kinds, USERS, ITEMS[:3]) if draw.random() < 0.6]
    put(lake, "silver.events", [event(n, kind, user, item, before, value)
                                for n, (before, (kind, value), user, item) in enumerate(all_)])  # fmt: skip


def counted(lake: Lake, settings: Settings, day: date, task: str) -> Totals:
    return load_totals(lake, settings, pa.array(USERS), Items(pa.array(ITEMS)), day, task)


@pytest.mark.parametrize("task", ["click", "purchase", "like"])
def test_a_row_at_midnight_is_told_the_rates_that_serving_tells(lake: Lake, settings: Settings, task: str) -> None:
    settings = settings.model_copy(update={"logs": settings.logs.model_copy(update={"train_days": DAYS})})
    put_log(lake)
    user, item = np.repeat(np.arange(len(USERS)), len(ITEMS)), np.tile(np.arange(len(ITEMS)), len(USERS))
    served = counted(lake, settings, DAY, task).at(user, item)
    midnight = np.full(len(user), int(MIDNIGHT.timestamp()) * 10**6)
    for trained_on in (DAY, DAY + timedelta(days=1)):
        rates = load_rates(lake, settings, pa.array(USERS), Items(pa.array(ITEMS)), trained_on, task)
        assert np.array_equal(rates.at(user, item, midnight), served)
    assert len(np.unique(served[:, 0])) > 1
    others = [counted(lake, settings, DAY + timedelta(days=more), task).at(user, item) for more in (-1, 1)]
    assert not any(np.array_equal(one, served) for one in others)


def test_totals_hold_the_days_of_training_and_what_is_liked_enough(lake: Lake, settings: Settings) -> None:
    settings = settings.model_copy(update={"logs": settings.logs.model_copy(update={"train_days": DAYS})})
    first = timedelta(days=DAYS)
    rows = [("impression", TICK, None), ("impression", first, None), ("impression", first + TICK, None),
            ("click", first, None), ("click", first + TICK, None), ("click", -TICK, None), ("rating", TICK, 5.0),
            ("rating", TICK, settings.logs.like_from - 0.5)]  # fmt: skip
    put(lake, "silver.events", [event(n, kind, "u1", "i1", at, value) for n, (kind, at, value) in enumerate(rows)])
    clicks, likes = counted(lake, settings, DAY, "click"), counted(lake, settings, DAY, "like")
    assert (clicks.shown.user.tolist(), clicks.taken.item.tolist()) == ([2, 0, 0], [1, 0, 0, 0])
    assert (likes.shown.item.tolist(), likes.taken.user.tolist()) == ([2, 0, 0, 0], [1, 0, 0])
