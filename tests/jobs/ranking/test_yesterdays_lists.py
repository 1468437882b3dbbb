"""The hit rate of yesterday's lists: what users acted on, looked up in their lists."""

from datetime import timedelta
from math import log2
from typing import Any

import pytest

from jobs.generation.settings import Generator
from jobs.lake import Lake
from jobs.ranking.settings import SOURCES, Recommend
from jobs.ranking.yesterdays_lists import measure_yesterdays_lists
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


def list_rows(user: str, items: str, days: int = -1) -> list[dict[str, object]]:
    return [
        {"user_id": user, "rank": n, "item_id": item, "score": 0.5, "model_version": "m", "day": DAY + timedelta(days)}
        for n, item in enumerate(items, start=1)
    ]


def measure(lake: Lake, settings: Settings, **values: Any) -> dict[tuple[str, str], float]:
    settings = settings.model_copy(update={"recommend": Recommend(**values)})
    return {(row["model"], row["metric"]): row["value"] for row in measure_yesterdays_lists(lake, settings, DAY)}


def test_items_that_users_acted_on_are_looked_up_in_yesterdays_lists(lake: Lake, settings: Settings) -> None:
    lists = [*list_rows("u", "abc"), *list_rows("v", "xa"), *list_rows("w", "q"), *list_rows("u", "z", 0)]
    put(lake, "gold.recommendations", lists)
    put(lake, "silver.events", [
        event("u", "c"), event("u", "c", "purchase"), event("u", "z"),  # rank 3, twice; not in yesterday's list
        event("v", "x", "rating", value=5.0), event("v", "a", "rating", value=1.0),  # rank 1; not liked
        event("w", "q", "impression"), event("t", "a"), event(None, "a"),  # not acted on; no list; unknown user
        event("t", "z", days=-1), event("s", "z", days=-2), event("s", "c", days=-1),
    ])  # fmt: skip
    measured = measure(lake, settings)
    ideal = 1 + 1 / log2(3)
    assert measured["live", "hit_rate_at_10"] == pytest.approx(2 / 3)
    assert measured["live", "ndcg_at_10"] == pytest.approx((1 / log2(4) / ideal + 1) / 2)
    assert measured["popular", "hit_rate_at_10"] == pytest.approx(2 / 3)  # z, then c
    assert measured["popular", "ndcg_at_10"] == pytest.approx((1 + 0) / 2)
    assert ("live", "hit_rate_at_20") in measured
    assert ("live", "hit_rate_at_20") not in measure(lake, settings, k=19)  # lists are no longer than that


def test_items_that_lists_leave_out_count_neither_for_lists_nor_for_popular_items(
    lake: Lake, settings: Settings
) -> None:
    put(lake, "gold.recommendations", list_rows("u", "bc"))
    put(lake, "silver.events", [
        event("u", "a"), event("u", "b"), event("u", "a", days=-3),
        *(event(other, "a", days=-1) for other in "rst"), *(event(other, "b", days=-1) for other in "rs"),
    ])  # fmt: skip
    measured = measure(lake, settings)
    assert measured["live", "hit_rate_at_10"] == measured["popular", "hit_rate_at_10"] == 1.0
    assert (
        measured["live", "ndcg_at_10"] == measured["popular", "ndcg_at_10"] == pytest.approx(1.0)
    )  # without a, b is first
    with_seen = measure(lake, settings, exclude_seen=False)
    assert with_seen["live", "hit_rate_at_10"] == 0.5
    assert with_seen["popular", "hit_rate_at_10"] == 1.0


def test_a_cancelled_purchase_is_neither_a_hit_nor_seen_nor_popular(lake: Lake, settings: Settings) -> None:
    put(lake, "gold.recommendations", list_rows("u", "abc"))
    cancels = [event("u", "b", "cancel"), event("u", "a", "cancel", days=-2), event("r", "b", "cancel", days=-1)]
    put(lake, "silver.events", [
        event("u", "a", "purchase", days=-3), event("u", "a", "purchase"), event("u", "b", "purchase"),
        event("r", "b", "purchase", days=-1), event("s", "a", "purchase", days=-1), *cancels,
    ])  # fmt: skip
    measured = measure(lake, settings)  # u bought and kept only a, which was not seen any more; only a was popular
    assert measured["live", "hit_rate_at_10"] == measured["popular", "hit_rate_at_10"] == 1.0
    assert measured["live", "ndcg_at_10"] == measured["popular", "ndcg_at_10"] == pytest.approx(1.0)


def test_a_hit_counts_for_each_source_that_found_it_and_alone_if_no_other_did(lake: Lake, settings: Settings) -> None:
    sources = {"a": ["pairs", "graph"], "b": ["graph"], "c": ["popular"]}
    put(
        lake, "gold.recommendations", [row | {"sources": sources[str(row["item_id"])]} for row in list_rows("u", "abc")]
    )
    put(lake, "silver.events", [event("u", item) for item in "abxy"])
    rows = measure_yesterdays_lists(lake, settings, DAY)
    measured = {(row["model"], row["metric"]): row["value"] for row in rows if row["slice"] == "sources"}
    assert {name: measured[name, "hit_rate"] for name in SOURCES} == {
        "pairs": 1 / 4, "neighbours": 0, "graph": 2 / 4, "generator": 0, "popular": 0,
    }  # fmt: skip
    assert {name: measured[name, "hit_rate_alone"] for name in SOURCES} == {
        "pairs": 0, "neighbours": 0, "graph": 1 / 4, "generator": 0, "popular": 0,
    }  # fmt: skip
    untrained = settings.model_copy(update={"generator": Generator(preset="graph")})
    without = {row["model"] for row in measure_yesterdays_lists(lake, untrained, DAY) if row["slice"] == "sources"}
    assert without == {"pairs", "neighbours", "graph", "popular"}  # no generator is trained


def test_without_yesterdays_lists_nothing_is_measured(lake: Lake, settings: Settings) -> None:
    put(lake, "silver.events", [event("u", "c")])
    assert measure_yesterdays_lists(lake, settings, DAY) == []
