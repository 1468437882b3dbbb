"""Swing's pairs: the sum by definition, its caps, and what does not count."""

import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from itertools import combinations
from typing import Any

import pyarrow as pa
import pytest

from jobs import pairs
from jobs.lake import Lake
from jobs.lake.contracts import contracts
from jobs.settings.tree import Settings
from tests.jobs import lake_rows

DAY = date(2026, 11, 20)
Row = dict[str, Any]


def event(user: str | None, item: str, kind: str = "click", hour: int = 12, day: date = DAY, **more: Any) -> Row:
    ts = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
    names = {"user_id": user, "item_id": item, "event": kind, "event_id": f"{user}-{item}-{kind}-{hour}-{day}"}
    return {**names, "ts": ts, "landed_day": day, "day": day, **more}


def put(lake: Lake, rows: list[Row]) -> None:
    lake_rows.put(lake, "silver.events", rows)


def swing_pairs(lake: Lake) -> dict[tuple[str, str], Row]:
    rows = lake.arrow("silver.item_pairs").to_pylist()
    rows = [row for row in rows if row["source"] == "swing"]
    assert len({(row["day"], row["item_a"], row["item_b"]) for row in rows}) == len(rows)
    return {(row["item_a"], row["item_b"]): row for row in rows if row["day"] == DAY}


def build(lake: Lake, settings: Settings, rows: list[Row], **caps: int) -> dict[tuple[str, str], float]:
    put(lake, rows)
    pairs.run(lake, settings.model_copy(update={"pairs": settings.pairs.model_copy(update=caps)}), DAY)
    return {pair: row["score"] for pair, row in swing_pairs(lake).items()}


def by_definition(rows: list[Row], alpha: float) -> dict[tuple[str, str], float]:
    items = defaultdict(set)
    for row in rows:
        items[row["user_id"]].add(row["item_id"])
    scores: dict[tuple[str, str], float] = defaultdict(float)
    for u, v in combinations(sorted(items), 2):
        common = items[u] & items[v]
        weight = (len(items[u]) * len(items[v])) ** -0.5 / (alpha + len(common))
        for pair in combinations(sorted(common), 2):
            scores[pair] += weight
    return scores


def log(users: int = 14, items: int = 12, seed: int = 5) -> list[Row]:
    choose = random.Random(seed)
    chosen = [(u, i) for u in range(users) for i in range(items) if choose.random() < 0.4]
    return [event(f"u{u:02}", f"i{i:02}", "purchase" if i % 3 else "click") for u, i in chosen]


NOISE = [
    *(event(user, item, "impression") for user in ("u01", "u02") for item in ("x1", "x2")),
    *(event(user, item, "cancel") for user in ("u01", "u02") for item in ("x1", "x2")),
    *(event(user, item, "rating", value=3.5) for user in ("u01", "u02") for item in ("x1", "x2")),
    *(event(None, item) for item in ("x1", "x2")),
    *(event(user, item, day=DAY + timedelta(days=1)) for user in ("u01", "u02") for item in ("x1", "x2")),
    *(event(user, item, day=DAY - timedelta(days=30)) for user in ("u01", "u02") for item in ("x1", "x2")),
    event("u01", "i00", hour=1),
    event("u01", "i00", "purchase", hour=2),
]


def test_without_caps_the_scores_are_swings_sum_and_only_positive_events_of_the_window_count(
    lake: Lake, settings: Settings
) -> None:
    rows = [row for row in log() if (row["user_id"], row["item_id"]) != ("u01", "i00")]
    expected = by_definition([*rows, event("u01", "i00")], settings.pairs.alpha)
    assert build(lake, settings, rows + NOISE, pairs_per_item=1000) == pytest.approx(expected)


def test_a_cancelled_purchase_makes_no_pair(lake: Lake, settings: Settings) -> None:
    rows = [event(user, item, "purchase") for user in ("u1", "u2") for item in ("i1", "i2", "i3", "i4")]
    cancelled = [event("u1", "i1", "cancel", hour=13), event("u2", "i2", "cancel", day=DAY + timedelta(days=1))]
    clicked = [event("u1", "i4"), event("u1", "i4", "cancel", hour=13)]  # takes the purchase back, not the click
    assert set(build(lake, settings, [*rows, *cancelled, *clicked])) == {("i2", "i3"), ("i2", "i4"), ("i3", "i4")}


def test_a_pair_is_kept_if_it_is_among_the_first_of_either_item(lake: Lake, settings: Settings) -> None:
    kept = build(lake, settings, log(), pairs_per_item=2)
    scores = {pair: round(score, 10) for pair, score in by_definition(log(), settings.pairs.alpha).items()}
    first = set()
    for item in {item for pair in scores for item in pair}:
        of_item = sorted((-score, pair) for pair, score in scores.items() if item in pair)
        first |= {pair for _, pair in of_item[:2]}
    assert set(kept) == first


def test_users_who_share_one_item_alone_make_no_pair(lake: Lake, settings: Settings) -> None:
    rows = [
        event("u1", "shared", hour=0),
        event("u1", "i1", hour=1),
        event("u2", "shared", hour=0),
        event("u2", "i2", hour=1),
    ]
    assert build(lake, settings, rows) == {}


def test_a_heavy_user_counts_with_the_latest_items(lake: Lake, settings: Settings) -> None:
    rows = [event(user, f"i{hour}", hour=hour) for user in ("u1", "u2") for hour in range(6)]
    assert set(build(lake, settings, rows, items_per_user=3)) == {("i3", "i4"), ("i3", "i5"), ("i4", "i5")}


def test_a_popular_item_counts_with_some_of_its_users_whatever_the_order_of_lines(
    lake: Lake, settings: Settings
) -> None:
    rows = [event(f"u{n}", item) for n in range(30) for item in ("i1", "i2")]
    first = build(lake, settings, rows, users_per_item=4)
    one_pair_of_users = 1 / 2 / (settings.pairs.alpha + 2)
    assert first == {("i1", "i2"): pytest.approx(6 * one_pair_of_users)}
    random.Random(1).shuffle(rows)
    assert build(lake, settings, rows, users_per_item=4) == first


def test_a_verdict_is_kept_when_the_pair_is_found_again(lake: Lake, settings: Settings) -> None:
    names = ["item_a", "item_b", "source", "score", "verdict", "reason", "judge_version", "day"]
    judged = [
        ("i1", "i2", "swing", 9.0, "yes", "old", "v1", DAY - timedelta(days=2)),
        ("i1", "i2", "swing", 9.0, "no", "newer", "v2", DAY - timedelta(days=1)),
        ("i1", "i3", "swing", 9.0, "no", "of this day", "v1", DAY),
        ("i1", "i3", "swing", 9.0, "yes", "of another", "v2", DAY + timedelta(days=1)),
        ("i2", "i3", "two_tower", 9.0, "yes", "of another source", "v2", DAY),
    ]
    rows = [dict(zip(names, row, strict=True)) for row in judged]
    lake.replace("silver.item_pairs", pa.Table.from_pylist(rows, contracts()["silver.item_pairs"].arrow))
    build(lake, settings, [event(user, item) for user in ("u1", "u2") for item in ("i1", "i2", "i3")])
    reasons = {pair: row["reason"] for pair, row in swing_pairs(lake).items()}
    assert reasons == {("i1", "i2"): "newer", ("i1", "i3"): "of this day", ("i2", "i3"): None}
    other_reasons = [
        row["reason"] for row in lake.arrow("silver.item_pairs").to_pylist() if row["source"] == "two_tower"
    ]
    assert other_reasons == ["of another source"]  # rows of another source do not change


def test_a_window_without_events_empties_the_day_and_is_a_success(lake: Lake, settings: Settings) -> None:
    build(lake, settings, [event(user, item) for user in ("u1", "u2") for item in ("i1", "i2")])
    put(lake, [])
    assert pairs.run(lake, settings, DAY).rows_out == 0
    assert swing_pairs(lake) == {}
