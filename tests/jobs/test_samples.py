"""Which examples a log gives, with which labels, and that they know nothing of the future."""

import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from jobs import samples
from jobs.lake import Lake, UserError
from jobs.lake.contracts import contracts
from jobs.lake.metrics import metric_rows, replace_metrics
from jobs.settings.tree import Settings, load_settings

DAY = date(2026, 11, 20)
Row = dict[str, Any]
Rows = dict[str, Row]


def at(clock: str, day: int = 20) -> datetime:
    return datetime.fromisoformat(f"2026-11-{day}T{clock}").replace(tzinfo=UTC)


def event(event_id: str, kind: str, user: str | None, item: str, ts: datetime, **more: Any) -> Row:
    known = {"event_id": event_id, "event": kind, "user_id": user, "item_id": item, "ts": ts}
    return {**known, "landed_day": ts.date(), "day": ts.date(), **more}


def put(lake: Lake, rows: list[Row]) -> None:
    lake.replace("silver.events", pa.Table.from_pylist(rows, contracts()["silver.events"].arrow))


def build(lake: Lake, settings: Settings, rows: list[Row], since: date | None = None) -> Rows:
    put(lake, rows)
    samples.run(lake, settings, DAY, since)
    return written(lake)


def written(lake: Lake) -> Rows:
    rows = lake.arrow("gold.samples").sort_by([("day", "ascending"), ("sample_id", "ascending")]).to_pylist()
    assert len({row["sample_id"] for row in rows}) == len(rows)
    return {row["sample_id"]: row for row in rows}


def with_label(settings: Settings, label: str, **more: Any) -> Settings:
    return settings.model_copy(update={"logs": settings.logs.model_copy(update={"label": label, **more})})


SHOWN = [
    event("a", "impression", "u1", "i1", at("10:00:05"), request_id="r1", position=0),
    event("b", "impression", "u1", "i2", at("10:00:03"), request_id="r1", position=1),
    event("a-c", "click", "u1", "i1", at("10:01:00"), request_id="r1"),
    event("b-c", "click", "u1", "i2", at("10:01:00"), request_id="r2"),
    event("c", "impression", "u2", "i1", at("10:00:00"), request_id="r3"),
    event("c-c", "click", "u2", "i1", at("09:59:59"), request_id="r3"),
    event("d", "impression", "u3", "i1", at("10:00:00")),
    event("d-c", "click", "u3", "i1", at("23:00:00")),
    event("e", "impression", "u4", "i1", at("10:00:00")),
    event("e-c", "click", "u4", "i1", at("23:00:00"), request_id="r9"),
    event("f", "impression", "u5", "i1", at("10:00:00"), request_id="r5"),
    event("f-c", "click", "u5", "i1", at("23:00:00")),
    event("g", "impression", "u6", "i1", at("10:00:00")),
    event("g-c", "click", "u0", "i1", at("23:00:00")),
    event("h", "impression", "u7", "i1", at("10:00:00"), request_id="r7"),
    event("h-p", "purchase", "u7", "i1", at("10:00:00")),
    event("x", "impression", "u8", "i1", at("23:59:58", 19), request_id="r8"),
    event("y", "impression", "u8", "i2", at("00:00:01"), request_id="r8"),
    event("x-c", "click", "u8", "i1", at("00:00:02"), request_id="r8"),
    event("z", "impression", None, "i1", at("09:00:00")),
    event("v", "impression", "u9", "i1", at("10:00:00", 19)),
    event("v-c", "click", "u9", "i1", at("10:00:01", 19)),
]
LATER = [
    event("l1", "click", "u1", "i2", at("00:00:00", 21), request_id="r1"),
    event("l2", "purchase", "u1", "i7", at("00:00:00", 21)),
    event("l3", "impression", "u1", "i1", at("00:00:00", 21), request_id="r1"),
    event("l4", "rating", "u1", "i1", at("00:00:00", 21), value=5.0),
]
ONLY_BUYER = event("alone", "purchase", "u1", "i1", at("10:00:00", 19))
BOUGHT = [  # user n buys items n and n + 1; item 0 is bought again and again by visitors
    *(event(f"p{n}-{m}", "purchase", f"u{n}", f"i{n + m}", at(f"1{m}:00:00"), order_id=f"o{n}")
      for n in range(6) for m in range(2)),
    *(event(f"q{n}", "purchase", None, "i0", at("09:00:00")) for n in range(40)),
    event("cancelled", "cancel", "u1", "i5", at("12:00:00"), value=-1.0),
    ONLY_BUYER,
]  # fmt: skip
NEGATIVES = 100


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    return build(fresh(tmp_path_factory.mktemp("shown")), load_settings(), SHOWN, since=date(2026, 11, 19))


@pytest.fixture(scope="module")
def bought(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    settings = with_label(load_settings(), "purchase", negatives=NEGATIVES)
    return build(fresh(tmp_path_factory.mktemp("bought")), settings, BOUGHT, since=date(2026, 11, 19))


def fresh(root: Path) -> Lake:
    lake = Lake(root)
    lake.create()
    return lake


def test_an_impression_is_clicked_if_a_click_of_its_request_and_item_answers_it(
    shown: Rows,
) -> None:
    assert (shown["a"]["click"], shown["b"]["click"]) == (1, 0)


def test_a_click_before_the_impression_does_not_answer_it(shown: Rows) -> None:
    assert shown["c"]["click"] == 0


def test_where_either_has_no_request_a_click_answers_the_same_user_item_and_day(
    shown: Rows,
) -> None:
    assert [shown[key]["click"] for key in "defg"] == [1, 1, 1, 0]


def test_a_purchase_without_request_labels_what_was_shown_to_its_user(shown: Rows) -> None:
    assert [key for key, row in shown.items() if row["purchase"]] == ["h"]


def test_a_click_on_the_next_day_is_lost(shown: Rows) -> None:
    assert shown["x"]["click"] == 0


def test_the_history_of_all_samples_of_a_request_ends_at_its_earliest_impression(
    shown: Rows,
) -> None:
    for key in "ab":
        assert shown[key]["ts"] == shown[key]["history_until"] == at("10:00:03")


def test_a_request_over_midnight_ends_its_history_before_midnight(shown: Rows) -> None:
    assert (shown["y"]["ts"], shown["y"]["history_until"]) == (at("00:00:01"), at("23:59:58", 19))


def test_impressions_of_unknown_visitors_are_no_samples(shown: Rows) -> None:
    assert "".join(sorted(shown)) == "abcdefghvxy"


def test_a_day_by_itself_in_any_order_with_a_known_future_gives_the_same_rows(
    lake: Lake, settings: Settings, shown: Rows
) -> None:
    rows = [*SHOWN, *LATER]
    random.Random(3).shuffle(rows)
    build(lake, settings, rows)
    samples.run(lake, settings, date(2026, 11, 19))
    assert written(lake) == shown


def test_a_label_is_unknown_before_the_log_first_carries_such_an_event(shown: Rows) -> None:
    assert [shown[key]["purchase"] for key in "vxya"] == [None, None, 0, 0]


def test_a_rating_from_the_threshold_on_is_a_like(lake: Lake, settings: Settings) -> None:
    rated = [
        event("a", "rating", "u1", "i1", at("10:00:00"), value=4.0),
        event("b", "rating", "u1", "i2", at("10:00:00"), value=3.5),
        event("c", "rating", "u1", "i3", at("10:00:00")),
    ]
    got = build(lake, settings, rated)
    assert {key: row["like"] for key, row in got.items()} == {"a": 1, "b": 0}
    assert got["a"]["history_until"] == at("10:00:00")


def drawn(rows: Rows, user: str) -> list[str]:
    return [row["item_id"] for row in rows.values() if row["sampled"] and row["user_id"] == user]


def test_each_purchase_comes_with_negatives_that_its_user_did_not_buy_that_day(
    bought: Rows,
) -> None:
    positives = {key for key, row in bought.items() if row["purchase"]}
    assert positives == {row["event_id"] for row in BOUGHT if row["event"] == "purchase" and row["user_id"]}
    for n in range(6):
        assert len(drawn(bought, f"u{n}")) == 2 * NEGATIVES
        assert {f"i{n}", f"i{n + 1}"}.isdisjoint(drawn(bought, f"u{n}"))


def test_negatives_are_drawn_in_proportion_to_the_purchases_of_the_day(bought: Rows) -> None:
    items = drawn(bought, "u3")  # of 52 purchases, four are of items that the user bought
    assert items.count("i0") / len(items) == pytest.approx(41 / 48, abs=0.08)
    assert items.count("i1") / len(items) == pytest.approx(2 / 48, abs=0.05)


def test_a_user_who_bought_all_that_was_sold_gets_no_negatives(bought: Rows) -> None:
    assert [key for key in bought if key.startswith("alone")] == ["alone"]


def test_the_history_of_an_order_ends_at_its_first_line(bought: Rows) -> None:
    assert {bought[key]["history_until"] for key in ("p3-0", "p3-1", "p3-1#7")} == {at("10:00:00")}


def test_negatives_do_not_depend_on_the_order_of_lines_or_on_later_days(
    lake: Lake, settings: Settings, bought: Rows
) -> None:
    rows = [*BOUGHT, *LATER]
    random.Random(3).shuffle(rows)
    build(lake, with_label(settings, "purchase", negatives=NEGATIVES), rows)
    assert written(lake) == {key: row for key, row in bought.items() if row["day"] == DAY}


def test_the_label_follows_what_the_whole_log_up_to_the_day_holds(lake: Lake, settings: Settings) -> None:
    rated = event("r", "rating", "u1", "i1", at("10:00:00", 19), value=5.0)
    impression = event("s", "impression", "u1", "i1", at("10:00:00", 19))
    nobody = event("t", "impression", None, "i1", at("10:00:00", 19))
    for rows, label in (
        ([*BOUGHT, *LATER, nobody], "purchase"),
        ([*BOUGHT, rated], "rating"),
        ([*BOUGHT, rated, impression], "impression"),
    ):  # fmt: skip
        put(lake, rows)
        assert samples.chosen_label(lake, settings, DAY) == label


def test_a_late_line_changes_the_samples_of_its_own_day_and_of_no_other(lake: Lake, settings: Settings) -> None:
    shown = event("a", "impression", "u", "i", at("10:00:00", 19), request_id="r")
    put(lake, [shown, event("b", "impression", "u", "i", at("10:00:00"), request_id="s")])
    samples.run(lake, settings, DAY, since=DAY - timedelta(days=1))
    late = event("c", "click", "u", "i", at("10:01:00", 19), request_id="r")
    put(lake, [shown, late, event("b", "impression", "u", "i", at("10:00:00"), request_id="s")])
    replace_metrics(lake, "ingest", DAY, metric_rows("event_days", str(DAY - timedelta(days=1)), {"lines": 1}))
    samples.run(lake, settings, DAY)
    clicks = {row["sample_id"]: row["click"] for row in lake.arrow("gold.samples").to_pylist()}
    assert clicks == {"a": 1, "b": 0}


def test_a_backfill_that_brings_the_first_click_changes_what_later_days_know(lake: Lake, settings: Settings) -> None:
    later = event("b", "impression", "u", "i", at("10:00:00"), request_id="s")
    put(lake, [later])
    samples.run(lake, settings, DAY)
    assert written(lake)["b"]["click"] is None
    day = DAY - timedelta(days=3)
    shown = [event("a", kind, "u", "i", at("10:00:00", 17), request_id="r") for kind in ("impression", "click")]
    put(lake, [shown[0], shown[1] | {"event_id": "c"}, later])
    replace_metrics(lake, "ingest", day, metric_rows("event_days", str(day), {"lines": 2}))
    samples.run(lake, settings, day)
    assert {key: row["click"] for key, row in written(lake).items()} == {"a": 1, "b": 0}


def test_a_day_without_events_is_an_empty_success(lake: Lake, settings: Settings) -> None:
    assert samples.run(lake, settings, DAY).rows_out == 0


def test_a_range_that_ends_before_it_starts_is_a_mistake(lake: Lake, settings: Settings) -> None:
    with pytest.raises(UserError, match="lies after"):
        samples.run(lake, settings, DAY, since=date(2026, 11, 21))
