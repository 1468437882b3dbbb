"""Models of a large shop learn from a sample of its users, and are measured on it."""

import hashlib
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from jobs.codebooks.behaviour_training import _load_edges
from jobs.item_pairs.two_tower_training import load_positives
from jobs.lake import Lake
from jobs.ranking.dataset import Rows, load_dataset
from jobs.ranking.rates import load_rates, load_totals
from jobs.ranking.settings import Recommend
from jobs.ranking.user_sample import IS_SAMPLED, are_sampled, user_bound
from jobs.ranking.yesterdays_lists import measure_yesterdays_lists
from jobs.settings.tree import Settings
from tests.jobs.lake_rows import DAY, moment, put
from tests.jobs.ranking.test_dataset import ITEMS

SHARE, USERS = 0.4, [f"u{number:02}" for number in range(24)]


def hash_share(user: str) -> float:
    return int(hashlib.md5(user.encode()).hexdigest()[:8], 16) / 16**8


CHOSEN = [user for user in USERS if hash_share(user) < SHARE]
OTHERS = [user for user in USERS if user not in CHOSEN]
END = np.array([DAY + timedelta(1)], "datetime64[us]").astype(np.int64).repeat(2)


def sampled(settings: Settings, share: float = SHARE) -> Settings:
    return settings.model_copy(update={"logs": settings.logs.model_copy(update={"user_share": share})})


def event(user: str | None, item: str, kind: str, second: int, back: int = 0) -> dict[str, Any]:
    day = DAY - timedelta(back)
    name = f"{user}-{item}-{kind}-{back}-{second}"
    return {"event_id": name, "user_id": user, "item_id": item, "event": kind, "ts": moment(day, second),
            "landed_day": day, "day": day}  # fmt: skip


def put_shop(lake: Lake, more: list[dict[str, Any]] | None = None) -> None:
    """Each user sees both items on four days and clicks on one of them. Some events have no user."""
    events, samples = [event(None, "i2", "impression", 7), *(more or [])], list[dict[str, Any]]()
    for number, user in enumerate(USERS):
        for back in range(4):
            for item, clicked in (("i1", number % 2), ("i2", 1 - number % 2)):
                shown = event(user, item, "impression", 10 * number, back)
                events += [shown, *([event(user, item, "click", 10 * number + 1, back)] if clicked else [])]
                samples.append({
                    "sample_id": shown["event_id"], "user_id": user, "item_id": item, "ts": shown["ts"],
                    "history_until": shown["ts"], "click": clicked, "sampled": False, "day": shown["day"],
                })  # fmt: skip
    put(lake, "silver.events", events)
    put(lake, "gold.samples", samples)


def describe(rows: Rows, users: list[str]) -> list[tuple[Any, ...]]:
    """Each row, with the user's ID instead of its index."""
    columns = zip(rows.user, rows.target, rows.until, rows.length, rows.ts, rows.labels[:, 0], strict=True)
    return [(users[user], *values) for user, *values in columns]


@pytest.mark.parametrize("share", [1e-10, 0.25, SHARE, 0.9999999999, 1.0])
def test_sql_chooses_the_same_users_and_about_as_many_as_asked(lake: Lake, share: float) -> None:
    users = pa.array([f"user {number} é" for number in range(3000)])
    text = f"SELECT user_id FROM users WHERE {IS_SAMPLED}"
    answer = lake.query(text, {"users": pa.table({"user_id": users})}, user_bound=user_bound(share))
    chosen = users.filter(pa.array(are_sampled(share, users))).to_pylist()
    assert answer["user_id"].to_pylist() == chosen
    assert len(chosen) / len(users) == pytest.approx(share, abs=0.03)
    unknown = are_sampled(share, pa.array([None, users[0].as_py()], pa.string()))
    assert unknown[0] == (share == 1)


def test_train_and_evaluate_read_the_rows_of_the_chosen_users_as_they_would_among_all(
    lake: Lake, settings: Settings
) -> None:
    put_shop(lake)
    everyone = load_dataset(lake, settings, ITEMS, DAY)
    some = load_dataset(lake, sampled(settings), ITEMS, DAY)
    assert (everyone.users.to_pylist(), some.users.to_pylist()) == (USERS, CHOSEN)
    for name in ("train", "test"):
        expected = describe(getattr(everyone, name), USERS)
        assert describe(getattr(some, name), CHOSEN) == [row for row in expected if row[0] in CHOSEN]


def test_rates_of_items_count_what_the_chosen_users_did_when_training_and_when_serving(
    lake: Lake, settings: Settings
) -> None:
    bought = [event(user, "i2", kind, 900 + n) for user in (CHOSEN[1], OTHERS[0])
              for n, kind in enumerate(("purchase", "cancel", "purchase"))]  # fmt: skip
    gone = [event(f"gone{number}", "i1", "impression", 5, settings.logs.train_days + 9) for number in range(50)]
    put_shop(lake, bought + gone)  # users who do not come back count, too, as long as the window lasts
    small = sampled(settings)
    data = load_dataset(lake, small, ITEMS, DAY)
    for task, taken in (("click", 4 * len(CHOSEN)), ("purchase", 1)):
        served = load_totals(lake, small, data.users, ITEMS, DAY, task)
        assert served.shown.item.sum() == served.shown.everyone[0] == 8 * len(CHOSEN)
        assert served.taken.item.sum() == served.taken.everyone[0] == taken
        trained = data.load_rates(task).at(np.zeros(2, int), np.arange(2), END)
        assert np.allclose(trained, served.at(np.zeros(2, int), np.arange(2)))
    early = END - (settings.logs.train_days + 8) * 86_400_000_000
    shown = np.expm1(5 * data.load_rates("click").at(np.zeros(2, int), np.arange(2), early)[:, 3])
    assert np.rint(shown).tolist() == [sum(hash_share(f"gone{number}") < SHARE for number in range(50)), 0]


def test_a_user_outside_the_sample_has_rates_of_his_own(lake: Lake, settings: Settings) -> None:
    put_shop(lake)
    of_others = pa.array(OTHERS)
    for chosen in (settings, sampled(settings)):  # a champion can have another share than today's rows
        shown = load_rates(lake, chosen, of_others, ITEMS, DAY, "click").at(np.zeros(2, int), np.arange(2), END)[:, 1]
        served = load_totals(lake, chosen, of_others, ITEMS, DAY, "click").at(np.zeros(2, int), np.arange(2))[:, 1]
        assert np.rint(np.expm1(5 * shown)).tolist() == np.rint(np.expm1(5 * served)).tolist() == [8, 8]


def test_two_towers_and_vectors_from_behaviour_learn_from_the_chosen_users(lake: Lake, settings: Settings) -> None:
    put_shop(lake)
    _, everyone = load_positives(lake, settings, DAY)
    _, some = load_positives(lake, sampled(settings), DAY)
    assert (len(everyone), len(some)) == (len(USERS) * 3, len(CHOSEN) * 3)  # the first click of a user has no history
    is_chosen = np.isin(np.array(USERS)[everyone.user], CHOSEN)
    assert some.target.tolist() == everyone.target[is_chosen].tolist()
    items, users, edges = _load_edges(lake, sampled(settings), DAY)
    clicked = ["i1" if USERS.index(user) % 2 else "i2" for user in CHOSEN]
    assert (users.to_pylist(), [items[int(item)].as_py() for item in edges[1]]) == (CHOSEN, clicked)


def test_yesterdays_lists_are_measured_for_the_chosen_users(lake: Lake, settings: Settings) -> None:
    put_shop(lake)
    put(lake, "gold.recommendations", [
        {"user_id": user, "rank": 1, "item_id": "i1" if (USERS.index(user) % 2) == (user in CHOSEN) else "i2",
         "score": 0.5, "model_version": "m", "day": DAY - timedelta(1)} for user in USERS
    ])  # fmt: skip
    hits = {}
    for share in (SHARE, 1.0):
        small = sampled(settings, share).model_copy(update={"recommend": Recommend(exclude_seen=False)})
        (hits[share],) = {
            (row["value"], row["rows"]) for row in measure_yesterdays_lists(lake, small, DAY)
            if (row["model"], row["metric"]) == ("live", "hit_rate_at_10")
        }  # fmt: skip
    assert hits == {SHARE: (1.0, len(CHOSEN)), 1.0: (len(CHOSEN) / len(USERS), len(USERS))}
