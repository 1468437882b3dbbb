"""Histories and rates as arrays: serving counts the same events as training."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import product

import numpy as np
import pyarrow as pa
import pytest

from jobs.lake import Lake
from jobs.landing.cancels import register_cancelled
from jobs.ranking.event_log import first_shown_day
from jobs.ranking.histories import load_histories_of, load_shown_histories
from jobs.ranking.items import ItemIndex
from jobs.ranking.rates import load_rates, load_totals
from jobs.ranking.users_on_spark import register_acted
from jobs.settings.tree import Settings
from models.arrow_histories import read_histories
from models.ranker.event_kinds import EVENT_KINDS, SHOWN_ONLY
from models.ranker.gsu import search_latest
from models.ranker.rates import Totals
from tests.jobs.lake_rows import DAY, put

USERS, ITEMS = ("u1", "u2", "u3"), ("i1", "i2", "i3", "i4")
DAYS = 3  # of training
MIDNIGHT = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC) + timedelta(days=1)  # when the day ends
TICK = timedelta(microseconds=1)


def event(
    number: int, kind: str, user: str, item: str, before: timedelta, value: float | None = None
) -> dict[str, object]:
    """An event that long before the midnight after DAY."""
    ts = MIDNIGHT - before
    columns = {"event_id": f"e{number}", "event": kind, "user_id": user, "item_id": item, "ts": ts, "value": value}
    return {**columns, "landed_day": ts.date(), "day": ts.date()}


def put_log(lake: Lake) -> None:
    """All kinds of events of each user and item, shortly before and after both ends of the days of training."""
    last, first = TICK, timedelta(days=DAYS)
    moments = (last, timedelta(hours=5), timedelta(days=1), first - TICK, first, first + TICK, 2 * first, -TICK)
    kinds = (
        ("impression", None),
        ("click", None),
        ("purchase", None),
        ("rating", 5.0),
        ("rating", 1.0),
        ("cancel", None),
    )
    draw = np.random.default_rng(0)
    events = [event for event in product(moments, kinds, USERS, ITEMS[:3]) if draw.random() < 0.6]
    put(lake, "silver.events", [event(n, kind, user, item, before, value)
                                for n, (before, (kind, value), user, item) in enumerate(events)])  # fmt: skip


def count_events(lake: Lake, settings: Settings, day: date, task: str) -> Totals:
    return load_totals(lake, settings, pa.array(USERS), ItemIndex(pa.array(ITEMS)), day, task)


@pytest.mark.parametrize("task", ["click", "purchase", "like"])
def test_a_row_at_midnight_has_the_rates_that_serving_computes(lake: Lake, settings: Settings, task: str) -> None:
    settings = settings.model_copy(update={"logs": settings.logs.model_copy(update={"train_days": DAYS})})
    put_log(lake)
    user, item = np.repeat(np.arange(len(USERS)), len(ITEMS)), np.tile(np.arange(len(ITEMS)), len(USERS))
    served = count_events(lake, settings, DAY, task).at(user, item)
    midnight = np.full(len(user), int(MIDNIGHT.timestamp()) * 10**6)
    for trained_on in (DAY, DAY + timedelta(days=1)):
        rates = load_rates(lake, settings, pa.array(USERS), ItemIndex(pa.array(ITEMS)), trained_on, task)
        assert np.array_equal(rates.at(user, item, midnight), served)
    assert len(np.unique(served[:, 0])) > 1
    other_days = [count_events(lake, settings, DAY + timedelta(days), task).at(user, item) for days in (-1, 1)]
    assert not any(np.array_equal(rates, served) for rates in other_days)


def test_a_purchase_counts_in_rates_and_histories_until_its_cancel(lake: Lake, settings: Settings) -> None:
    hours = [timedelta(hours=hour) for hour in range(25)]
    rows = [("purchase", "i1", 20), ("purchase", "i2", 18), ("cancel", "i1", 10), ("click", "i3", 5)]
    log = [event(n, kind, "u1", item, hours[hour]) for n, (kind, item, hour) in enumerate(rows)]
    log.append(event(9, "cancel", "u1", "i2", -TICK))  # on the next day
    put(lake, "silver.events", log)
    users, items = pa.array(USERS), ItemIndex(pa.array(ITEMS))
    histories, served = (
        load_histories_of(lake, settings, items, DAY, users, at_end=at_end) for at_end in (False, True)
    )
    rates = load_rates(lake, settings, users, items, DAY, "purchase")
    for hour, expected, bought in ((19, "i1", 1), (15, "i2i1", 2), (10, "i2i1", 2), (9, "i2", 1), (0, "i3i2", 1)):
        until = np.array([int((MIDNIGHT - hours[hour]).timestamp()) * 10**6])
        zero = np.zeros(1, np.int64)
        found = search_latest(histories, zero, histories.ends(zero, until), k=4).items[0]
        assert "".join(ITEMS[item] for item in found if item >= 0) == expected
        counted = Totals.count([], [(zero.repeat(bought), zero.repeat(bought), until)], 3, 4)
        assert rates.at(zero, zero + 3, until)[0, 0] == counted.at(zero, zero + 3)[0, 0]
    assert [ITEMS[item] for item in served.items] == ["i2", "i3"]
    assert count_events(lake, settings, DAY, "purchase").taken.item.tolist() == [0, 1, 0, 0]


def test_executors_get_the_shown_histories_of_one_process(lake: Lake, settings: Settings) -> None:
    settings = settings.model_copy(update={"logs": settings.logs.model_copy(update={"train_days": 1})})
    put_log(lake)
    users, items = pa.array(USERS), ItemIndex(pa.array(ITEMS))
    shown = load_shown_histories(lake, settings, items, DAY, users, at_end=True)
    assert shown.kinds is not None
    assert set(shown.kinds) == set(EVENT_KINDS.values())
    did = load_histories_of(lake, settings, items, DAY, users, at_end=True)
    assert did.kinds is not None
    assert set(did.kinds).isdisjoint(SHOWN_ONLY)
    is_impression = shown.kinds == EVENT_KINDS["impression"]
    first = int(datetime.combine(first_shown_day(settings, DAY), time(), UTC).timestamp()) * 10**6
    assert shown.ts[is_impression].min() >= first > shown.ts[~is_impression].min()
    register_acted(lake, settings, DAY, items.ids)
    register_cancelled(lake, DAY, DAY, "cancelled_lately")
    rows = lake.transform(
        "users_to_rank", day=DAY, active_from=date(2000, 1, 1), like_from=settings.logs.like_from, counts_from=DAY,
        shown_from=first_shown_day(settings, DAY), shown_event="rating", taken_event="rating", sources=[""],
    )  # fmt: skip
    sent = rows.orderBy("user_id").toArrow()
    histories = read_histories(sent["events"].combine_chunks())
    assert sent["user_id"].to_pylist() == list(USERS)
    for name in ("offsets", "ts", "items", "kinds"):
        assert np.array_equal(getattr(histories, name), getattr(shown, name)), name


def test_totals_count_the_days_of_training_and_ratings_from_like_from_on(lake: Lake, settings: Settings) -> None:
    settings = settings.model_copy(update={"logs": settings.logs.model_copy(update={"train_days": DAYS})})
    first = timedelta(days=DAYS)
    rows = [("impression", TICK, None), ("impression", first, None), ("impression", first + TICK, None),
            ("click", first, None), ("click", first + TICK, None), ("click", -TICK, None), ("rating", TICK, 5.0),
            ("rating", TICK, settings.logs.like_from - 0.5)]  # fmt: skip
    put(lake, "silver.events", [event(n, kind, "u1", "i1", at, value) for n, (kind, at, value) in enumerate(rows)])
    clicks, likes = count_events(lake, settings, DAY, "click"), count_events(lake, settings, DAY, "like")
    assert (clicks.shown.user.tolist(), clicks.taken.item.tolist()) == ([2, 0, 0], [1, 0, 0, 0])
    assert (likes.shown.item.tolist(), likes.taken.user.tolist()) == ([2, 0, 0, 0], [1, 0, 0])
