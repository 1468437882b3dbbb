"""What generate finds for users, and how much of it they act on the next day: examples by hand."""

from datetime import date, timedelta
from typing import Any

import pyarrow.dataset as ds
import pytest

from jobs import generate
from jobs.generation import shards
from jobs.generation.settings import Generator
from jobs.lake import Lake
from jobs.lake.metrics import metric_rows, replace_metrics
from jobs.settings.tree import Settings
from tests.jobs.lake_rows import DAY, moment, put

Row = dict[str, Any]
BEFORE, AFTER = DAY - timedelta(1), DAY + timedelta(1)


def event(user: str, item: str, second: int, day: date = DAY, kind: str = "click", **more: Any) -> Row:
    return {
        "event_id": f"{user}{item}{kind}{second}", "user_id": user, "item_id": item, "event": kind,
        "ts": moment(day, second), "landed_day": day, "day": day, **more,
    }  # fmt: skip


def land(lake: Lake, events: list[Row], day: date = DAY, touched: set[date] | None = None) -> None:
    """Put the events into the lake as ingest of a day does. touched: the days whose events it wrote"""
    put(lake, "silver.events", events)
    days = {row["day"] for row in events} if touched is None else touched
    rows = [row for touched_day in days for row in metric_rows("event_days", str(touched_day), {"lines": 1})]
    replace_metrics(lake, "ingest", day, rows)


def pairs_of(lake: Lake, day: date = DAY) -> dict[str, float]:
    rows = lake.arrow("gold.item_graph", where=ds.field("day") == day).to_pylist()
    return {row["item_a"] + row["item_b"]: row["weight"] for row in rows}


def list_of(lake: Lake, user: str, source: str = "graph", day: date = DAY) -> list[str]:
    where = (ds.field("day") == day) & (ds.field("user_id") == user) & (ds.field("source") == source)
    rows = sorted(lake.arrow("gold.generated", where=where).to_pylist(), key=lambda row: row["rank"])
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    return [row["item_id"] for row in rows]


def rows_of(lake: Lake, table: str, day: date | None = None) -> list[Row]:
    """The rows of a table, sorted."""
    rows = lake.arrow(table, where=None if day is None else ds.field("day") == day).to_pylist()
    return sorted(rows, key=lambda row: list(map(str, row.values())))


def hit_rates(lake: Lake, day: date = DAY) -> dict[tuple[str, str], float]:
    where = (ds.field("day") == day) & (ds.field("job") == "generate")
    return {(row["model"], row["metric"]): row["value"] for row in lake.arrow("gold.metrics", where=where).to_pylist()}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With the item graph alone: test_trained.py tests the trained presets."""
    return settings.model_copy(update={"generator": Generator(preset="graph")})


# --- the pairs of a day ---


def test_a_day_without_pairs_is_written_only_to_remove_pairs_that_it_had(lake: Lake, settings: Settings) -> None:
    quiet = [event("u", "a", 1, BEFORE), event("w", "b", 1, DAY)]
    land(lake, [*quiet, event("u", "b", 2, BEFORE)])
    generate.run(lake, settings, DAY)
    assert pairs_of(lake, BEFORE) == {"ab": 1.0}
    land(lake, quiet, touched={BEFORE})
    generate.run(lake, settings, DAY)
    assert pairs_of(lake, BEFORE) == {}
    version = lake.version("gold.item_graph")
    assert generate.run(lake, settings, DAY).notes["days_counted"] == 2
    assert lake.version("gold.item_graph") == version


def test_a_pair_belongs_to_the_day_of_its_second_event_and_weighs_less_the_farther_apart_its_events_are(
    lake: Lake, settings: Settings
) -> None:
    land(lake, [
        event("u", "a", 1, BEFORE), event("u", "b", 2, BEFORE), event("u", "c", 1), event("u", "d", 2),
        event("v", "b", 1, BEFORE - timedelta(9)), event("v", "c", 1), event("w", "e", 1),
    ])  # fmt: skip
    generate.run(lake, settings, DAY)
    assert pairs_of(lake, BEFORE) == {"ab": 1.0}
    assert pairs_of(lake) == {"bc": 2.0, "ac": 1 / 2, "bd": 1 / 2, "ad": pytest.approx(1 / 3), "cd": 1.0}


def test_items_more_than_8_events_apart_and_an_item_with_itself_are_no_pairs(lake: Lake, settings: Settings) -> None:
    land(lake, [event("u", item, second) for second, item in enumerate("abbbbbbbbc")])
    generate.run(lake, settings, DAY)
    pairs = pairs_of(lake)
    assert set(pairs) == {"ab", "bc"}
    assert pairs["ab"] == pairs["bc"] == pytest.approx(sum(1 / n for n in range(1, 9)))


def test_only_clicks_purchases_and_likes_of_known_users_count(lake: Lake, settings: Settings) -> None:
    land(lake, [
        event("u", "a", 1), event("u", "x", 2, kind="impression"), event("u", "y", 3, kind="rating", value=1.0),
        event("u", "b", 4, kind="rating", value=5.0), event("u", "c", 5, kind="purchase"),
        event("v", "a", 1) | {"user_id": None}, event("v", "c", 2) | {"user_id": None},
    ])  # fmt: skip
    generate.run(lake, settings, DAY)
    assert pairs_of(lake) == {"ab": 1.0, "bc": 1.0, "ac": 0.5}


def test_a_purchase_counts_until_the_day_on_which_it_is_cancelled(lake: Lake, settings: Settings) -> None:
    land(lake, [
        event("u", "a", 1, BEFORE), event("u", "b", 2, BEFORE, "purchase"), event("u", "c", 3, BEFORE),
        event("u", "b", 1, DAY, "cancel"), event("u", "d", 2),
        event("v", "e", 1), event("v", "b", 2, kind="purchase"), event("v", "f", 3), event("v", "b", 4, kind="cancel"),
    ])  # fmt: skip
    generate.run(lake, settings, DAY)
    assert pairs_of(lake, BEFORE) == {"ab": 1.0, "ac": 0.5, "bc": 1.0}  # as it was known then
    assert pairs_of(lake) == {"cd": 1.0, "ad": 0.5, "ef": 1.0}


def test_days_in_another_order_and_reruns_give_the_same_rows(lake: Lake, settings: Settings, tmp_path: Any) -> None:
    events = [event(user, "abcdef"[(n * 5 + ord(user)) % 6], n % 7 + 10 * n, DAY - timedelta(n % 3))
              for user in "uvw" for n in range(9)]  # fmt: skip
    days = [DAY - timedelta(n) for n in (2, 1, 0)]
    other = Lake(tmp_path / "other", run_id="test")
    other.create()
    for day in days:
        land(lake, [row for row in events if row["day"] <= day], day, touched={day})
        generate.run(lake, settings, day)
    landed: list[Row] = []
    for day in (days[2], days[0], days[1], days[2]):  # the last day is run again, so that it knows all events
        landed += [row for row in events if row["day"] == day and row not in landed]
        land(other, landed, day, touched={day})
        generate.run(other, settings, day)
    for table in ("gold.item_graph", "gold.generated"):
        assert rows_of(other, table) == rows_of(lake, table)
    before = rows_of(lake, "gold.item_graph")
    generate.run(lake, settings, DAY)
    assert rows_of(lake, "gold.item_graph") == before


def test_a_late_event_changes_the_pairs_of_later_days(lake: Lake, settings: Settings) -> None:
    events = [event("u", "a", 1, DAY - timedelta(2)), event("u", "c", 1, BEFORE)]
    land(lake, events, BEFORE)
    generate.run(lake, settings, BEFORE)
    assert pairs_of(lake, BEFORE) == {"ac": 1.0}
    land(lake, [*events, event("u", "b", 2, DAY - timedelta(2))], DAY, touched={DAY - timedelta(2)})
    generate.run(lake, settings, DAY)
    assert pairs_of(lake, DAY - timedelta(2)) == {"ab": 1.0}
    assert pairs_of(lake, BEFORE) == {"bc": 1.0, "ac": 0.5}


# --- the lists ---

FOLLOWED = [*(event(user, item, n, BEFORE) for user in "rst" for n, item in enumerate("abc")), event("u", "a", 1)]


def test_a_user_gets_what_followed_the_items_of_the_user_in_other_histories_and_nothing_twice(
    lake: Lake, settings: Settings
) -> None:
    land(lake, [*FOLLOWED, event("s", "d", 1)])
    generate.run(lake, settings, DAY)
    assert list_of(lake, "u") == ["b", "c", "d"]
    assert list_of(lake, "r") == ["d"]  # a, b and c were seen
    assert list_of(lake, "u", "popular") == []
    generate.run(lake, settings.model_copy(update={"generator": Generator(preset="graph", k=2)}), DAY)
    assert list_of(lake, "u") == ["b", "c"]


def test_nothing_that_happens_after_the_day_changes_its_lists(lake: Lake, settings: Settings) -> None:
    land(lake, FOLLOWED)
    generate.run(lake, settings, DAY)
    before = rows_of(lake, "gold.generated")
    later = [event("u", "z", 1, AFTER), event("x", "z", 2, AFTER), event("r", "d", 1, AFTER), event("r", "z", 2, AFTER)]
    land(lake, [*FOLLOWED, *later], AFTER)
    generate.run(lake, settings, AFTER)
    generate.run(lake, settings, DAY)
    assert rows_of(lake, "gold.generated", DAY) == before
    assert "z" in list_of(lake, "r", day=AFTER) or "z" in list_of(lake, "s", day=AFTER)


def test_days_older_than_graph_days_are_forgotten(lake: Lake, settings: Settings) -> None:
    old = [event("r", item, n, DAY - timedelta(2)) for n, item in enumerate("ab")]
    land(lake, [*old, event("s", "a", 1, BEFORE), event("s", "c", 2, BEFORE), event("u", "a", 1)])
    generate.run(lake, settings, DAY)
    assert list_of(lake, "u") == ["b", "c"]
    generate.run(lake, settings.model_copy(update={"generator": Generator(preset="graph", graph_days=2)}), DAY)
    assert list_of(lake, "u") == ["c"]


def test_pairs_of_an_item_that_corrected_logs_do_not_name_any_more_are_left_out(lake: Lake, settings: Settings) -> None:
    kept = [event("r", item, n, BEFORE) for n, item in enumerate("ab")]
    land(lake, [*kept, event("r", "wrong", 2, BEFORE)], BEFORE)
    generate.run(lake, settings, BEFORE)
    land(lake, [*kept, event("u", "a", 1)], touched={DAY})  # the day before was corrected, and generate not run again
    generate.run(lake, settings, DAY)
    assert list_of(lake, "u") == ["b"]


def test_a_user_without_a_history_gets_popular_items(lake: Lake, settings: Settings) -> None:
    land(lake, [*FOLLOWED, event("new", "a", 5, kind="impression"), event("lone", "q", 5),
                event("back", "a", 1, BEFORE, "purchase"), event("back", "a", 1, DAY, "cancel")])  # fmt: skip
    generate.run(lake, settings, DAY)
    assert list_of(lake, "new", "popular") == ["a", "b", "c", "q"]
    assert list_of(lake, "lone", "popular") == ["a", "b", "c"]  # nothing ever followed q
    assert list_of(lake, "back", "popular") == ["a", "b", "c", "q"]
    assert list_of(lake, "new") == []


def test_users_who_did_nothing_for_a_while_get_no_list(lake: Lake, settings: Settings) -> None:
    long_ago = DAY - timedelta(settings.recommend.active_days)
    land(lake, [*FOLLOWED, event("gone", "a", 1, long_ago), event("late", "a", 1, long_ago + timedelta(1))])
    generate.run(lake, settings, DAY)
    assert list_of(lake, "gone") == []
    assert list_of(lake, "late") == ["b", "c"]


def test_users_are_handled_in_parts_with_the_same_result(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    land(lake, [*FOLLOWED, event("new", "a", 5, kind="impression")])
    result = generate.run(lake, settings, DAY)
    whole = rows_of(lake, "gold.generated")
    monkeypatch.setattr(shards, "USERS_AT_ONCE", 2)
    generate.run(lake, settings, DAY)
    assert rows_of(lake, "gold.generated") == whole
    assert "generating for users  5 of 5" in capfd.readouterr().err
    assert (result.rows_in, result.rows_out) == (5, len(whole))


def test_a_lake_without_events_gets_no_lists(lake: Lake, settings: Settings) -> None:
    result = generate.run(lake, settings, DAY)
    assert (result.rows_in, result.rows_out) == (0, 0)
    assert not lake.arrow("gold.item_graph").num_rows
    assert hit_rates(lake) == {}


# --- what is measured ---


def test_the_lists_of_the_day_before_are_measured_on_what_users_acted_on_for_the_first_time(
    lake: Lake, settings: Settings
) -> None:
    land(lake, [row | {"day": BEFORE, "landed_day": BEFORE, "ts": moment(BEFORE, n)}
                for n, row in enumerate([*FOLLOWED, event("p", "z", 8), event("q", "z", 8)])], BEFORE)  # fmt: skip
    known = lake.arrow("silver.events").to_pylist()
    generate.run(lake, settings, BEFORE)
    assert hit_rates(lake, BEFORE) == {}
    today = [
        event("u", "b", 1), event("u", "c", 2), event("u", "a", 3),  # found, found, acted on before
        event("p", "a", 1), event("q", "x", 1),  # popular, not found
        event("nobody", "b", 1), event("u", "z", 4, kind="impression"),  # no list, not acted on
        event("q", "c", 2, kind="purchase"), event("q", "c", 3, kind="cancel"),
    ]  # fmt: skip
    land(lake, [*known, *today])
    generate.run(lake, settings, DAY)
    assert hit_rates(lake) == {
        ("graph", "hit_rate_at_10"): 2 / 4, ("graph", "hit_rate_at_50"): 2 / 4,
        ("popular", "hit_rate_at_10"): 3 / 4, ("popular", "hit_rate_at_50"): 3 / 4,
    }  # fmt: skip
