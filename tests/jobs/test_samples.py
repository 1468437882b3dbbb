"""Which samples a log gives, with which labels, and that they see nothing of the future."""

import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs import samples
from jobs.lake import Lake, UserError
from jobs.lake.metrics import metric_rows, replace_metrics
from jobs.landing.labels import choose_label
from jobs.settings.tree import Settings, load_settings
from tests.jobs import lake_rows

DAY = date(2026, 11, 20)
Row = dict[str, Any]
Rows = dict[str, Row]


def at(clock: str, day: int = 20) -> datetime:
    return datetime.fromisoformat(f"2026-11-{day}T{clock}").replace(tzinfo=UTC)


def build_event(event_id: str, kind: str, user: str | None, item: str, ts: datetime, **more: Any) -> Row:
    fields = {"event_id": event_id, "event": kind, "user_id": user, "item_id": item, "ts": ts}
    return {**fields, "landed_day": ts.date(), "day": ts.date(), **more}


def replace_events(lake: Lake, rows: list[Row]) -> None:
    lake_rows.put(lake, "silver.events", rows)


def build_samples(lake: Lake, settings: Settings, rows: list[Row], since: date | None = None) -> Rows:
    replace_events(lake, rows)
    samples.run(lake, settings, DAY, since)
    return read_samples(lake)


def read_samples(lake: Lake) -> Rows:
    rows = lake.arrow("gold.samples").sort_by([("day", "ascending"), ("sample_id", "ascending")]).to_pylist()
    assert len({row["sample_id"] for row in rows}) == len(rows)
    return {row["sample_id"]: row for row in rows}


def set_label(settings: Settings, label: str, **more: Any) -> Settings:
    return settings.model_copy(update={"logs": settings.logs.model_copy(update={"label": label, **more})})


SHOWN = [
    build_event("a", "impression", "u1", "i1", at("10:00:05"), request_id="r1", position=0),
    build_event("b", "impression", "u1", "i2", at("10:00:03"), request_id="r1", position=1),
    build_event("a-c", "click", "u1", "i1", at("10:01:00"), request_id="r1"),
    build_event("b-c", "click", "u1", "i2", at("10:01:00"), request_id="r2"),
    build_event("c", "impression", "u2", "i1", at("10:00:00"), request_id="r3"),
    build_event("c-c", "click", "u2", "i1", at("09:59:59"), request_id="r3"),
    build_event("d", "impression", "u3", "i1", at("10:00:00")),
    build_event("d-c", "click", "u3", "i1", at("23:00:00")),
    build_event("e", "impression", "u4", "i1", at("10:00:00")),
    build_event("e-c", "click", "u4", "i1", at("23:00:00"), request_id="r9"),
    build_event("f", "impression", "u5", "i1", at("10:00:00"), request_id="r5"),
    build_event("f-c", "click", "u5", "i1", at("23:00:00")),
    build_event("g", "impression", "u6", "i1", at("10:00:00")),
    build_event("g-c", "click", "u0", "i1", at("23:00:00")),
    build_event("h", "impression", "u7", "i1", at("10:00:00"), request_id="r7"),
    build_event("h-p", "purchase", "u7", "i1", at("10:00:00")),
    build_event("x", "impression", "u8", "i1", at("23:59:58", 19), request_id="r8"),
    build_event("y", "impression", "u8", "i2", at("00:00:01"), request_id="r8"),
    build_event("x-c", "click", "u8", "i1", at("00:00:02"), request_id="r8"),
    build_event("z", "impression", None, "i1", at("09:00:00")),
    build_event("v", "impression", "u9", "i1", at("10:00:00", 19)),
    build_event("v-c", "click", "u9", "i1", at("10:00:01", 19)),
]
LATER = [
    build_event("l1", "click", "u1", "i2", at("10:00:04", 21), request_id="r1"),
    build_event("l2", "purchase", "u1", "i7", at("00:00:00", 21)),
    build_event("l3", "impression", "u1", "i1", at("00:00:00", 21), request_id="r1"),
    build_event("l4", "rating", "u1", "i1", at("00:00:00", 21), value=5.0),
]
ONLY_BUYER = build_event("alone", "purchase", "u1", "i1", at("10:00:00", 19))
BOUGHT = [  # user n buys items n and n + 1; unknown visitors buy item 0 again and again
    *(build_event(f"p{n}-{m}", "purchase", f"u{n}", f"i{n + m}", at(f"1{m}:00:00"), order_id=f"o{n}")
      for n in range(6) for m in range(2)),
    *(build_event(f"q{n}", "purchase", None, "i0", at("09:00:00")) for n in range(40)),
    build_event("cancelled", "cancel", "u1", "i5", at("12:00:00"), value=-1.0),
    ONLY_BUYER,
]  # fmt: skip
NEGATIVES = 100


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    return build_samples(
        create_lake(tmp_path_factory.mktemp("shown")), load_settings(), SHOWN, since=date(2026, 11, 19)
    )


@pytest.fixture(scope="module")
def bought(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    settings = set_label(load_settings(), "purchase", negatives=NEGATIVES)
    return build_samples(create_lake(tmp_path_factory.mktemp("bought")), settings, BOUGHT, since=date(2026, 11, 19))


def create_lake(root: Path) -> Lake:
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


def test_a_click_after_midnight_answers_the_impression_of_the_day_before(shown: Rows) -> None:
    assert (shown["x"]["click"], shown["x"]["clicked_at"]) == (1, at("00:00:02"))


def test_the_history_of_all_samples_of_a_request_ends_at_its_earliest_impression(
    shown: Rows,
) -> None:
    for key in "ab":
        assert shown[key]["ts"] == shown[key]["history_until"] == at("10:00:03")


def test_a_request_over_midnight_ends_its_history_before_midnight(shown: Rows) -> None:
    assert (shown["y"]["ts"], shown["y"]["history_until"]) == (at("00:00:01"), at("23:59:58", 19))


def test_impressions_of_unknown_visitors_are_skipped(shown: Rows) -> None:
    assert "".join(sorted(shown)) == "abcdefghvxy"


def test_single_days_in_any_order_with_later_events_present_give_the_same_rows(
    lake: Lake, settings: Settings, shown: Rows
) -> None:
    rows = [*SHOWN, *LATER]
    random.Random(3).shuffle(rows)
    build_samples(lake, settings, rows)
    samples.run(lake, settings, date(2026, 11, 19))
    assert read_samples(lake) == shown


def test_a_label_is_unknown_before_the_log_first_carries_such_an_event(shown: Rows) -> None:
    assert [shown[key]["purchase"] for key in "vxya"] == [None, None, 0, 0]


def test_a_rating_from_the_threshold_on_is_a_like(lake: Lake, settings: Settings) -> None:
    rated = [
        build_event("a", "rating", "u1", "i1", at("10:00:00"), value=4.0),
        build_event("b", "rating", "u1", "i2", at("10:00:00"), value=3.5),
        build_event("c", "rating", "u1", "i3", at("10:00:00")),
    ]
    samples_by_id = build_samples(lake, settings, rated)
    assert {key: row["like"] for key, row in samples_by_id.items()} == {"a": 1, "b": 0}
    assert samples_by_id["a"]["history_until"] == at("10:00:00")


def list_negatives(rows: Rows, user: str) -> list[str]:
    return [row["item_id"] for row in rows.values() if row["sampled"] and row["user_id"] == user]


def test_each_purchase_comes_with_negatives_that_its_user_did_not_buy_that_day(
    bought: Rows,
) -> None:
    positives = {key for key, row in bought.items() if row["purchase"]}
    assert positives == {row["event_id"] for row in BOUGHT if row["event"] == "purchase" and row["user_id"]}
    for n in range(6):
        assert len(list_negatives(bought, f"u{n}")) == 2 * NEGATIVES
        assert {f"i{n}", f"i{n + 1}"}.isdisjoint(list_negatives(bought, f"u{n}"))


def test_negatives_are_drawn_in_proportion_to_the_purchases_of_the_day(bought: Rows) -> None:
    items = list_negatives(bought, "u3")  # of 52 purchases, four are of items that the user bought
    assert items.count("i0") / len(items) == pytest.approx(41 / 48, abs=0.08)
    assert items.count("i1") / len(items) == pytest.approx(2 / 48, abs=0.05)


def test_a_user_who_bought_every_sold_item_gets_no_negatives(bought: Rows) -> None:
    assert [key for key in bought if key.startswith("alone")] == ["alone"]


def test_the_history_of_an_order_ends_at_its_first_line(bought: Rows) -> None:
    assert {bought[key]["history_until"] for key in ("p3-0", "p3-1", "p3-1#7")} == {at("10:00:00")}


def test_negatives_do_not_depend_on_the_order_of_lines_or_on_later_days(
    lake: Lake, settings: Settings, bought: Rows
) -> None:
    rows = [*BOUGHT, *LATER]
    random.Random(3).shuffle(rows)
    build_samples(lake, set_label(settings, "purchase", negatives=NEGATIVES), rows)
    assert read_samples(lake) == {key: row for key, row in bought.items() if row["day"] == DAY}


def test_the_label_follows_from_the_whole_log_up_to_the_day(lake: Lake, settings: Settings) -> None:
    rated = build_event("r", "rating", "u1", "i1", at("10:00:00", 19), value=5.0)
    impression = build_event("s", "impression", "u1", "i1", at("10:00:00", 19))
    nobody = build_event("t", "impression", None, "i1", at("10:00:00", 19))
    for rows, label in (
        ([*BOUGHT, *LATER, nobody], "purchase"),
        ([*BOUGHT, rated], "rating"),
        ([*BOUGHT, rated, impression], "impression"),
    ):  # fmt: skip
        replace_events(lake, rows)
        assert choose_label(lake, settings.logs, DAY) == label


def test_a_late_line_changes_the_samples_of_its_own_day_and_of_no_other(lake: Lake, settings: Settings) -> None:
    shown = build_event("a", "impression", "u", "i", at("10:00:00", 19), request_id="r")
    replace_events(lake, [shown, build_event("b", "impression", "u", "i", at("10:00:00"), request_id="s")])
    samples.run(lake, settings, DAY, since=DAY - timedelta(days=1))
    late = build_event("c", "click", "u", "i", at("10:01:00", 19), request_id="r")
    replace_events(lake, [shown, late, build_event("b", "impression", "u", "i", at("10:00:00"), request_id="s")])
    replace_metrics(lake, "ingest", DAY, metric_rows("event_days", str(DAY - timedelta(days=1)), {"lines": 1}))
    samples.run(lake, settings, DAY)
    clicks = {row["sample_id"]: row["click"] for row in lake.arrow("gold.samples").to_pylist()}
    assert clicks == {"a": 1, "b": 0}


def test_a_backfill_that_brings_the_first_click_changes_the_labels_of_later_days(
    lake: Lake, settings: Settings
) -> None:
    later = build_event("b", "impression", "u", "i", at("10:00:00"), request_id="s")
    replace_events(lake, [later])
    samples.run(lake, settings, DAY)
    assert read_samples(lake)["b"]["click"] is None
    day = DAY - timedelta(days=3)
    shown = [build_event("a", kind, "u", "i", at("10:00:00", 17), request_id="r") for kind in ("impression", "click")]
    replace_events(lake, [shown[0], shown[1] | {"event_id": "c"}, later])
    replace_metrics(lake, "ingest", day, metric_rows("event_days", str(day), {"lines": 2}))
    samples.run(lake, settings, day)
    assert {key: row["click"] for key, row in read_samples(lake).items()} == {"a": 1, "b": 0}


def test_a_day_without_events_is_an_empty_success(lake: Lake, settings: Settings) -> None:
    assert samples.run(lake, settings, DAY).rows_out == 0


def test_a_range_that_ends_before_it_starts_is_an_error(lake: Lake, settings: Settings) -> None:
    with pytest.raises(UserError, match="is after --day"):
        samples.run(lake, settings, DAY, since=date(2026, 11, 21))
