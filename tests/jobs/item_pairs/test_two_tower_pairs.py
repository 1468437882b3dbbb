"""Two-tower pairs on a lake: where they come from, and what they keep when they are found again."""

from collections import defaultdict
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from deltalake.exceptions import DeltaError

from jobs import two_tower
from jobs.item_pairs import two_tower_training
from jobs.lake import Lake, UserError
from jobs.lake.contracts import contracts
from jobs.settings.tree import Settings
from tests.jobs import lake_rows
from tests.jobs.lake_rows import DAY, moment

PAIRS = "silver.item_pairs"
Row = dict[str, Any]


def table(name: str, rows: list[Row]) -> pa.Table:
    return pa.Table.from_pylist(rows, contracts()[name].arrow)


def click(user: int, item: str, second: int, day: date = DAY) -> tuple[Row, Row]:
    """An event, and the sample whose label it is."""
    shared = {"user_id": f"u{user:02}", "item_id": item, "ts": moment(day, second), "day": day}
    name = f"{user}-{day}-{second}"
    event = {**shared, "event_id": name, "event": "click", "landed_day": day}
    return event, {**shared, "sample_id": name, "history_until": shared["ts"], "click": 1, "sampled": False}


def log(users: int = 40, each: int = 10, seed: int = 0) -> tuple[list[Row], list[Row]]:
    """Clicks of two days, and an impression without a click for each. A user clicks in one of four groups of items."""
    rng = np.random.default_rng(seed)
    events, samples = list[Row](), list[Row]()
    for user in range(users):
        for second in rng.integers(0, 1000, each):
            item, day = f"i{rng.integers(0, 6) * 4 + user % 4:02}", DAY - timedelta(days=int(rng.integers(0, 2)))
            event, sample = click(user, item, int(second), day)
            shown = {**sample, "sample_id": f"{sample['sample_id']}-", "item_id": f"i{rng.integers(0, 24):02}"}
            events.append(event | {"event_id": f"{event['event_id']}-{len(events)}"})
            samples += [sample, shown | {"click": 0}]
    return events, samples


def put(lake: Lake, events: list[Row], samples: list[Row]) -> None:
    lake_rows.put(lake, "silver.events", events)
    lake.replace("gold.samples", table("gold.samples", samples))


def pair(source: str, day: date, verdict: str | None, reason: str | None, a: str = "i00", b: str = "i04") -> Row:
    version = verdict and f"v-{reason}"
    keys = {"item_a": a, "item_b": b, "source": source, "day": day, "score": 1.0}
    return {**keys, "verdict": verdict, "reason": reason, "judge_version": version, "judge_seconds": None}


def day_pairs(lake: Lake, day: date = DAY, source: str = "two_tower") -> list[Row]:
    rows = [row for row in lake.arrow(PAIRS).to_pylist() if (row["day"], row["source"]) == (day, source)]
    return sorted(rows, key=lambda row: (row["item_a"], row["item_b"]))


def test_a_pair_is_of_an_item_clicked_and_one_that_the_same_user_clicked_strictly_before(
    lake: Lake, settings: Settings
) -> None:
    events, samples = log()
    put(lake, events, samples)
    written = two_tower.run(lake, settings, DAY)
    past = defaultdict(list)
    for event in events:
        past[event["user_id"]].append((event["ts"], event["item_id"]))
    possible = {
        tuple(sorted((sample["item_id"], item)))
        for sample in samples
        for ts, item in past[sample["user_id"]]
        if sample["click"] and ts < sample["history_until"] and item != sample["item_id"]
    }
    pairs = [(row["item_a"], row["item_b"]) for row in day_pairs(lake)]
    assert written.rows_out == len(pairs) == len(set(pairs)) > 20
    assert set(pairs) <= possible
    assert all(int(a[1:]) % 4 == int(b[1:]) % 4 for a, b in pairs)


def test_what_happens_from_the_last_moment_on_and_on_later_days_changes_nothing(lake: Lake, settings: Settings) -> None:
    events, samples = log()
    put(lake, events, samples)
    two_tower.run(lake, settings, DAY)
    before = day_pairs(lake)
    last = {sample["user_id"]: sample["ts"] for sample in sorted(samples, key=lambda sample: sample["ts"])}
    later = [click(n, f"i{n % 24:02}", 0) for n in range(40)]
    for event, _ in later:
        event["ts"] = last[event["user_id"]]
        event["day"] = event["landed_day"] = event["ts"].date()
    items = [(n, item) for n in range(40) for item in (f"i{n % 24:02}", f"new{n}")]
    tomorrow = [click(n, item, second, DAY + timedelta(days=1)) for second, (n, item) in enumerate(items)]
    put(lake, events + [event for event, _ in later + tomorrow], samples + [sample for _, sample in tomorrow])
    two_tower.run(lake, settings, DAY)
    assert day_pairs(lake) == before


def test_running_again_gives_the_same_rows_and_leaves_those_of_other_days_and_of_swing(
    lake: Lake, settings: Settings
) -> None:
    before = DAY - timedelta(days=1)
    others = [pair("swing", DAY, "yes", "a"), pair("swing", before, None, None), pair("two_tower", before, "no", "b")]
    lake.replace(PAIRS, table(PAIRS, [*others, pair("two_tower", DAY, None, None, "x", "y")]))
    events, samples = log()
    put(lake, events, samples)
    two_tower.run(lake, settings, DAY)
    first = day_pairs(lake)
    put(lake, events[::-1], samples[::-1])
    two_tower.run(lake, settings, DAY)
    assert day_pairs(lake) == first
    assert ("x", "y") not in {(row["item_a"], row["item_b"]) for row in first}
    assert [
        *day_pairs(lake, DAY, "swing"),
        *day_pairs(lake, before, "swing"),
        *day_pairs(lake, before),
    ] == others


def test_a_two_tower_pair_keeps_its_verdict_this_days_before_others(lake: Lake, settings: Settings) -> None:
    put(lake, *log())
    two_tower.run(lake, settings, DAY)
    old, new, of_day, swing = [(row["item_a"], row["item_b"]) for row in day_pairs(lake)[:4]]
    days = [DAY - timedelta(days=2), DAY - timedelta(days=1), DAY, DAY + timedelta(days=1)]
    judged = [
        pair("two_tower", days[0], "yes", "old", *old),
        pair("two_tower", days[0], "yes", "older", *new),
        pair("two_tower", days[1], "no", None, *new),
        pair("two_tower", days[2], "no", "of this day", *of_day),
        pair("two_tower", days[3], "yes", "of another", *of_day),
        pair("swing", days[2], "no", "of swing", *swing),
    ]
    lake.replace(PAIRS, table(PAIRS, judged))
    assert two_tower.run(lake, settings, DAY).notes["verdicts_carried"] == 3
    rows = {(row["item_a"], row["item_b"]): (row["verdict"], row["reason"]) for row in day_pairs(lake)}
    assert [rows[key] for key in (old, new, of_day)] == [("yes", "old"), ("no", None), ("no", "of this day")]
    assert rows[swing] == (None, None)


def test_a_day_with_too_few_clicks_has_no_pairs_and_says_why(lake: Lake, settings: Settings) -> None:
    lake.replace(PAIRS, table(PAIRS, [pair("two_tower", DAY, "yes", "a"), pair("swing", DAY, "yes", "b")]))
    empty = two_tower.run(lake, settings, DAY)
    assert empty.notes["skipped"].startswith("0 positives with a history")
    assert day_pairs(lake) == []
    put(lake, *log(users=9))
    assert two_tower.run(lake, settings, DAY).rows_out == 0
    assert len(day_pairs(lake, source="swing")) == 1


def test_purchases_count_where_nothing_was_clicked_and_only_there(lake: Lake, settings: Settings) -> None:
    events, samples = log()
    put(lake, events, samples)
    two_tower.run(lake, settings, DAY)
    clicked = day_pairs(lake)
    bought = [sample | {"purchase": sample["click"], "click": None} for sample in samples]
    put(lake, [event | {"event": "purchase"} for event in events], bought)
    two_tower.run(lake, settings, DAY)
    assert day_pairs(lake) == clicked
    put(lake, events, [sample | {"purchase": 1 - sample["click"]} for sample in samples])
    two_tower.run(lake, settings, DAY)
    assert day_pairs(lake) == clicked


def test_how_well_the_latest_clicks_were_predicted_is_measured(lake: Lake, settings: Settings) -> None:
    put(lake, *log())
    two_tower.run(lake, settings, DAY)
    rows = lake.arrow("gold.metrics").to_pylist()
    assert {(row["job"], row["day"]) for row in rows} == {("two_tower", DAY)}
    assert {row["value"] for row in rows if row["model"] == "popularity" and row["metric"] == "hr_at_50"} == {1.0}
    metrics = {(row["slice"], row["metric"]): row for row in rows if row["model"] == "two_tower"}
    assert metrics["held_out", "hr_at_50"]["value"] == 1.0  # there are 24 items
    assert metrics["held_out", "hr_at_50"]["rows"] * 9 == pytest.approx(metrics["all", "train_loss"]["rows"], abs=9)
    assert metrics["all", "pairs"]["value"] == len(day_pairs(lake))


def test_no_jvm_is_started(lake: Lake, settings: Settings) -> None:
    put(lake, *log())
    two_tower.run(lake, settings, DAY)
    assert "spark" not in vars(lake)


def test_the_table_refuses_a_pair_without_a_score_above_0(lake: Lake) -> None:
    lake.replace(PAIRS, table(PAIRS, [pair("two_tower", DAY, None, None)]))
    with pytest.raises(DeltaError, match="1 rows failed validation check"):
        lake.replace(PAIRS, table(PAIRS, [pair("two_tower", DAY, None, None) | {"score": 0.0}]))


def test_no_more_held_out_rows_than_wanted_are_measured(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(two_tower_training, "MEASURED_ROWS", 7)
    put(lake, *log())
    two_tower.run(lake, settings, DAY)
    held_out = ds.field("slice") == "held_out"
    assert lake.arrow("gold.metrics", ["rows"], held_out)["rows"].to_pylist() == [7, 7]


def test_training_that_diverges_costs_the_day_no_pair(lake: Lake, settings: Settings) -> None:
    put(lake, *log())
    two_tower.run(lake, settings, DAY)
    before = day_pairs(lake)
    diverging = settings.model_copy(update={"two_tower": settings.two_tower.model_copy(update={"lr": 1e30})})
    with pytest.raises(UserError, match=r"lower two_tower\.lr"):
        two_tower.run(lake, diverging, DAY)
    assert day_pairs(lake) == before
