"""The simulated shop: its faults are where it says, its clicks can be learned, and its users return."""

import json
import tracemalloc
from collections import Counter
from datetime import date, timedelta

import numpy as np
import pytest

from models.metrics import auc
from models.simulator import Day, simulate
from models.simulator.rows import CLEAN, CLICK, IMPRESSION, LATE, PURCHASE
from models.simulator.words import LEAVES
from tests.simulated import DAYS, KNOWN_EVENTS, SIZES, Landing, parse_lines, read_good_events, read_lines


@pytest.fixture(scope="module")
def demo() -> list[Day]:
    days = [date(2026, 11, 11) + timedelta(days=n) for n in range(10)]
    return list(simulate(days=days, items=2_000, users=600, events_per_day=12_000, new_items_per_day=20, seed=7))


@pytest.mark.parametrize("index", range(len(DAYS)))
def test_the_summary_says_how_many_lines_of_each_fate_are_in_the_file(landing: Landing, index: int) -> None:
    out, summary = landing
    day, counts = str(DAYS[index]), summary[index]
    lines = read_lines(out / day / "events.jsonl.gz")
    rows = parse_lines(lines)
    fates = Counter[str](malformed=len(lines) - len(rows))
    ids = set()
    for row in rows:
        if not {"item_id", "event", "ts"} <= row.keys():
            fates["missing_key"] += 1
        elif row["event"] not in KNOWN_EVENTS:
            fates["unknown_event"] += 1
        elif row["ts"][:10] > day:
            fates["future"] += 1
        elif row["event_id"] in ids:
            fates["duplicate"] += 1
        else:
            fates["late" if row["ts"][:10] < day else "clean"] += 1
            ids.add(row["event_id"])
    assert len(lines) == counts["lines"]
    assert fates == Counter({fate: counts[fate] for fate in fates})
    assert all(fates[fate] for fate in ("malformed", "missing_key", "unknown_event", "future", "duplicate"))
    assert bool(fates["late"]) == (index > 0), "before the first day there was no shop"


def test_bad_lines_do_not_take_the_identifier_of_a_good_one(landing: Landing) -> None:
    rows = parse_lines(read_lines(landing[0] / str(DAYS[0]) / "events.jsonl.gz"))
    good_ids = {row["event_id"] for row in read_good_events(landing[0], DAYS[0])}
    bad_rows = [
        row for row in rows if row.get("event", "hover") not in KNOWN_EVENTS or row.get("ts", "3") > "2026-11-19"
    ]
    assert bad_rows
    assert good_ids.isdisjoint(row["event_id"] for row in bad_rows)


def test_late_lines_are_one_or_two_days_late() -> None:
    for index, day in enumerate(simulate(days=DAYS, faults=0.5, **SIZES)):
        late = day.events.take(day.events.fate == LATE)
        assert set(late.landed_day - late.day) == ({1, 2} if index else set())


def test_a_click_comes_after_its_impression_and_a_purchase_after_its_click(
    landing: Landing,
) -> None:
    rows = [row for row in read_good_events(landing[0], DAYS[1]) if "request_id" in row]
    times = {(row["event"], row["request_id"], row["item_id"]): row["ts"] for row in rows}
    answers = [key for key in times if key[0] != "impression"]
    assert {event for event, *_ in answers} == {"click", "purchase"}
    for event, request, item in answers:
        earlier_event = {"click": "impression", "purchase": "click"}[event]
        assert times[earlier_event, request, item] < times[event, request, item]


def test_a_request_shows_no_item_twice_and_counts_positions_from_0(
    landing: Landing,
) -> None:
    shown: dict[str, list[tuple[int, str]]] = {}
    for row in read_good_events(landing[0], DAYS[0]):
        if row["event"] == "impression":
            shown.setdefault(row["request_id"], []).append((row["position"], row["item_id"]))
    for impressions in shown.values():
        assert sorted(position for position, _ in impressions) == list(range(len(impressions)))
        assert len({item for _, item in impressions}) == len(impressions)


def test_some_visitors_are_unknown(landing: Landing) -> None:
    rows = read_good_events(landing[0], DAYS[0])
    unknown = sum("user_id" not in row for row in rows)
    assert 0 < unknown < 0.1 * len(rows)


def test_the_first_day_brings_the_catalogue_and_later_days_new_and_changed_items(
    landing: Landing,
) -> None:
    first, second, _ = (parse_lines(read_lines(landing[0] / str(day) / "items.jsonl.gz")) for day in DAYS)
    known = {row["item_id"]: row for row in first}
    assert len(known) == SIZES["items"]
    changed = [row for row in second if row["item_id"] in known]
    assert len(second) - len(changed) == SIZES["new_items_per_day"]
    assert changed
    for row in changed:
        assert "title" not in row or row["title"] != known[row["item_id"]]["title"]
    assert {row["updated_at"][:10] for row in second} == {str(DAYS[1])}


def test_every_event_is_about_an_item_that_has_arrived(landing: Landing) -> None:
    known: set[str] = set()
    for day in DAYS:
        known |= {row["item_id"] for row in parse_lines(read_lines(landing[0] / str(day) / "items.jsonl.gz"))}
        assert {row["item_id"] for row in read_good_events(landing[0], day)} <= known


def test_days_with_a_gap_are_refused() -> None:
    with pytest.raises(ValueError, match="without a gap"):
        next(simulate(days=[DAYS[0], DAYS[2]], **SIZES))


def test_the_true_probability_ranks_clicks_better_than_popularity_does(demo: list[Day]) -> None:
    earlier_days = [day.events.take(day.events.fate == CLEAN) for day in demo[:-1]]
    shown = np.concatenate([rows.item[rows.event == IMPRESSION] for rows in earlier_days])
    clicked = np.concatenate([rows.item[rows.event == CLICK] for rows in earlier_days])
    rate = (np.bincount(clicked, minlength=3_000) + 2) / (np.bincount(shown, minlength=3_000) + 10)
    rows = demo[-1].events
    rows = rows.take((rows.fate == CLEAN) & (rows.request >= 0))
    impressions, clicks = rows.take(rows.event == IMPRESSION), rows.take(rows.event == CLICK)
    label = np.isin(impressions.request * 100 + impressions.position, clicks.request * 100 + clicks.position)
    popularity_auc = auc(label, rate[impressions.item])
    best_auc = demo[-1].truth.best_auc
    assert 0.76 < best_auc < 0.84
    assert 0.55 < popularity_auc < best_auc - 0.08
    assert demo[-1].truth.best_auc_without_position < best_auc


def test_the_truth_counts_the_impressions_that_landed_on_their_day(
    landing: Landing,
) -> None:
    truth = json.loads((landing[0] / "_truth.json").read_text())
    for day in DAYS:
        rows = read_good_events(landing[0], day)
        assert truth[str(day)]["impressions"] == sum(row["event"] == "impression" for row in rows)
        assert truth[str(day)]["clicks"] == sum(row["event"] == "click" for row in rows)


def test_users_return_so_that_histories_grow(demo: list[Day]) -> None:
    clicks = np.bincount(np.concatenate([day.events.user[day.events.event == CLICK] + 1 for day in demo]))[1:]
    assert np.median(clicks) > 10
    assert clicks.max() > 100


def test_orders_join_items_of_complementary_leaves_far_more_often_than_chance(demo: list[Day]) -> None:
    leaf = {
        number: LEAVES.index((text["category"][0], text["category"][1], text["category"][2]))
        for day in demo
        for number, text in zip(day.item_numbers.tolist(), day.items, strict=True)
        if "category" in text
    }
    orders: dict[tuple[date, int], set[int]] = {}
    for day in demo:
        bought = day.events.take((day.events.event == PURCHASE) & (day.events.fate == CLEAN))
        for order, item in zip(bought.order.tolist(), bought.item.tolist(), strict=True):
            if item in leaf:
                orders.setdefault((day.day, order), set()).add(leaf[item])
    mixed_orders = [leaves for leaves in orders.values() if len(leaves) > 1]
    assert np.mean([any(number ^ 1 in leaves for number in leaves) for leaves in mixed_orders]) > 0.5


def test_memory_does_not_grow_with_the_number_of_days() -> None:
    sizes = {**SIZES, "events_per_day": 20_000, "new_items_per_day": 0}
    peaks = []
    tracemalloc.start()
    for day in simulate(days=[DAYS[0] + timedelta(days=n) for n in range(12)], **sizes):
        peaks.append(tracemalloc.get_traced_memory()[0])
        del day
    tracemalloc.stop()
    assert max(peaks[6:]) < 1.2 * max(peaks[:3])
