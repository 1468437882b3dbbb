"""How the lists of the day before are measured by what users did."""

from datetime import timedelta
from math import log2
from typing import Any

import pytest

from jobs.lake import Lake
from jobs.ranking import list_hits as morning
from jobs.ranking.settings import Recommend
from jobs.settings.tree import Settings
from tests.jobs.lake_rows import DAY, moment, put


def event(
    user: str | None, item: str, kind: str = "click", days: int = 0, value: float | None = None
) -> dict[str, object]:
    day = DAY + timedelta(days)
    return {
        "event_id": f"{user}{item}{kind}{days}", "user_id": user, "item_id": item, "event": kind, "ts": moment(day, 5),
        "value": value, "landed_day": day, "day": day,
    }  # fmt: skip


def listed(user: str, items: str, days: int = -1) -> list[dict[str, object]]:
    return [
        {"user_id": user, "rank": n, "item_id": item, "score": 0.5, "model_version": "m", "day": DAY + timedelta(days)}
        for n, item in enumerate(items, start=1)
    ]


def values(lake: Lake, settings: Settings, **told: Any) -> dict[tuple[str, str], float]:
    settings = settings.model_copy(update={"recommend": Recommend(**told)})
    return {(row["model"], row["metric"]): row["value"] for row in morning.measured(lake, settings, DAY)}


def test_what_users_did_is_looked_up_in_their_lists_of_the_day_before(lake: Lake, settings: Settings) -> None:
    lists = [*listed("u", "abc"), *listed("v", "xa"), *listed("w", "q"), *listed("u", "z", 0)]
    put(lake, "gold.recommendations", lists)
    put(lake, "silver.events", [
        event("u", "c"), event("u", "c", "purchase"), event("u", "z"),  # third, twice; not listed the day before
        event("v", "x", "rating", value=5.0), event("v", "a", "rating", value=1.0),  # first; not liked
        event("w", "q", "impression"), event("t", "a"), event(None, "a"),  # not done; no list; not known
        event("t", "z", days=-1), event("s", "z", days=-2), event("s", "c", days=-1),
    ])  # fmt: skip
    found = values(lake, settings)
    ideal = 1 + 1 / log2(3)
    assert found["live", "hit_rate_at_10"] == pytest.approx(2 / 3)
    assert found["live", "ndcg_at_10"] == pytest.approx((1 / log2(4) / ideal + 1) / 2)
    assert found["popular", "hit_rate_at_10"] == pytest.approx(2 / 3)  # z, then c
    assert found["popular", "ndcg_at_10"] == pytest.approx((1 + 0) / 2)
    assert ("live", "hit_rate_at_20") in found
    assert ("live", "hit_rate_at_20") not in values(lake, settings, k=19)  # lists are no longer than that


def test_what_lists_leave_out_is_not_asked_of_them_nor_of_the_popular_items(lake: Lake, settings: Settings) -> None:
    put(lake, "gold.recommendations", listed("u", "bc"))
    put(lake, "silver.events", [
        event("u", "a"), event("u", "b"), event("u", "a", days=-3),
        *(event(other, "a", days=-1) for other in "rst"), *(event(other, "b", days=-1) for other in "rs"),
    ])  # fmt: skip
    found = values(lake, settings)
    assert found["live", "hit_rate_at_10"] == found["popular", "hit_rate_at_10"] == 1.0
    assert found["live", "ndcg_at_10"] == found["popular", "ndcg_at_10"] == pytest.approx(1.0)  # without a, b is first
    again = values(lake, settings, exclude_seen=False)
    assert again["live", "hit_rate_at_10"] == 0.5
    assert again["popular", "hit_rate_at_10"] == 1.0


def test_a_day_without_lists_before_it_measures_nothing(lake: Lake, settings: Settings) -> None:
    put(lake, "silver.events", [event("u", "c")])
    assert morning.measured(lake, settings, DAY) == []
