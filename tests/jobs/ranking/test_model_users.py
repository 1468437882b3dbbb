"""Models of a large shop learn from a sample of its users, and are measured on them."""

import hashlib
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from jobs.generation.settings import Generator
from jobs.item_pairs.two_tower_training import load_positives
from jobs.lake import Lake
from jobs.ranking.dataset import Rows, load_dataset
from jobs.ranking.rates import load_totals
from jobs.ranking.settings import Recommend
from jobs.ranking.yesterdays_lists import measure_yesterdays_lists
from jobs.settings.tree import Settings
from tests.jobs.lake_rows import DAY, moment, put
from tests.jobs.ranking.test_dataset import ITEMS

USERS, MOST = [f"u{number}" for number in range(12)], 5
CHOSEN = sorted(sorted(USERS, key=lambda user: hashlib.md5(user.encode()).hexdigest())[:MOST])


def sampled(settings: Settings, most: int = MOST) -> Settings:
    return settings.model_copy(update={"logs": settings.logs.model_copy(update={"model_users": most})})


def put_shop(lake: Lake) -> None:
    """Each user sees both items on four days and clicks on one of them."""
    events, samples = list[dict[str, Any]](), list[dict[str, Any]]()
    for number, user in enumerate(USERS):
        for back in range(4):
            day, second = DAY - timedelta(back), 10 * number
            for item, clicked in (("i1", number % 2), ("i2", 1 - number % 2)):
                ids = {"user_id": user, "item_id": item, "ts": moment(day, second), "day": day}
                name, landed = f"{user}-{item}-{back}", {"landed_day": day}
                events.append({**ids, **landed, "event_id": name, "event": "impression"})
                if clicked:
                    later = {"ts": moment(day, second + 1), "event_id": f"{name}c", "event": "click"}
                    events.append({**ids, **landed, **later})
                samples.append(
                    {**ids, "sample_id": name, "history_until": ids["ts"], "click": clicked, "sampled": False}
                )
    put(lake, "silver.events", events)
    put(lake, "gold.samples", samples)


def describe(rows: Rows, users: list[str]) -> list[tuple[Any, ...]]:
    """Each row, with the user's ID instead of its index."""
    columns = zip(rows.user, rows.target, rows.until, rows.length, rows.ts, rows.labels[:, 0], strict=True)
    return [(users[user], *values) for user, *values in columns]


def test_train_and_evaluate_read_the_rows_of_the_chosen_users_as_they_would_among_all(
    lake: Lake, settings: Settings
) -> None:
    put_shop(lake)
    everyone = load_dataset(lake, settings, ITEMS, DAY)
    some = load_dataset(lake, sampled(settings), ITEMS, DAY)
    assert (everyone.users.to_pylist(), some.users.to_pylist()) == (sorted(USERS), CHOSEN)
    for name in ("train", "test"):
        expected = describe(getattr(everyone, name), everyone.users.to_pylist())
        assert describe(getattr(some, name), CHOSEN) == [row for row in expected if row[0] in CHOSEN] != []


def test_rates_of_items_count_what_the_chosen_users_did_when_training_and_when_serving(
    lake: Lake, settings: Settings
) -> None:
    put_shop(lake)
    late = {"landed_day": DAY, "day": DAY, "user_id": CHOSEN[1], "item_id": "i2"}
    bought = [
        {**late, "event_id": f"b{second}", "event": event, "ts": moment(DAY, 500 + second), "user_id": user}
        for user in (CHOSEN[1], next(user for user in USERS if user not in CHOSEN))
        for second, event in enumerate(("purchase", "cancel"))
    ]
    put(lake, "silver.events", [*lake.arrow("silver.events").to_pylist(), *bought])
    small = sampled(settings)
    data, end = load_dataset(lake, small, ITEMS, DAY), np.array([DAY + timedelta(1)], "datetime64[us]").astype(int)
    of_others = pa.array(sorted(set(USERS) - set(CHOSEN)))
    for task in ("click", "purchase"):
        trained = data.load_rates(task).at(np.zeros(2, int), np.arange(2), end.repeat(2))
        served = load_totals(lake, small, data.users, ITEMS, DAY, task).at(np.zeros(2, int), np.arange(2))
        assert np.allclose(trained, served)
        others = load_totals(lake, small, of_others, ITEMS, DAY, task)
        assert others.shown.item.sum() == others.shown.everyone[0] == MOST * 8  # of two items on four days
        assert others.shown.user.tolist() == [8] * len(of_others)
    assert load_totals(lake, settings, of_others, ITEMS, DAY, "click").shown.item.sum() == len(USERS) * 8


def test_as_many_users_as_are_allowed_are_all_users(lake: Lake, settings: Settings) -> None:
    put_shop(lake)
    for most in (len(USERS), len(USERS) + 1):
        data = load_dataset(lake, sampled(settings, most), ITEMS, DAY)
        assert (len(data.users), len(data.test)) == (len(USERS), 2 * len(USERS))


def test_two_towers_learn_from_the_chosen_users(lake: Lake, settings: Settings) -> None:
    put_shop(lake)
    _, everyone = load_positives(lake, settings, DAY)
    _, some = load_positives(lake, sampled(settings), DAY)
    assert (len(everyone), len(some)) == (len(USERS) * 3, MOST * 3)  # the first click of a user has no history
    assert set(some.user) == set(range(MOST))


@pytest.mark.parametrize("most", [1, MOST, len(USERS)])
def test_yesterdays_lists_are_measured_for_the_chosen_users(lake: Lake, settings: Settings, most: int) -> None:
    put_shop(lake)
    before = DAY - timedelta(1)
    put(lake, "gold.recommendations", [
        {"user_id": user, "rank": rank, "item_id": item, "score": 0.5, "model_version": "m", "day": before}
        for user in USERS for rank, item in enumerate(("i1", "i2"), start=1)
    ])  # fmt: skip
    small = sampled(settings, most).model_copy(
        update={"recommend": Recommend(exclude_seen=False), "generator": Generator(preset="graph")}
    )
    rows = [row for row in measure_yesterdays_lists(lake, small, DAY) if row["model"] == "live"]
    assert {row["rows"] for row in rows} == {most}  # each user clicked on one item
