"""silver.histories has what known users did, whatever is written again in which order."""

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from deltalake.exceptions import CommitFailedError

from jobs.lake import JobResult, Lake, UserError
from jobs.lake.contracts import contracts
from jobs.lake.metrics import metric_rows, replace_metrics
from jobs.lake.staging import Staging
from jobs.landing.histories import SpansToWrite, check_filled, merge_months, plan_spans, stage_histories
from tests.jobs.lake_rows import put

LAST = date(2026, 11, 20)
KINDS = ("impression", "click", "purchase", "cancel", "rating")


def event(number: int, day: date, user: str | None = "u", kind: str = "click") -> dict[str, Any]:
    ts = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    names = {"event_id": f"e{number}", "user_id": user, "item_id": f"i{number % 7}", "event": kind}
    return {**names, "ts": ts, "landed_day": day, "day": day}


def put_events(lake: Lake, rows: list[dict[str, Any]]) -> None:
    """Write silver.events alone."""
    lake.replace("silver.events", pa.Table.from_pylist(rows, contracts()["silver.events"].arrow))


def publish(lake: Lake, days: list[date], last: date = LAST) -> None:
    with Staging(lake) as staging:
        stage_histories(lake, staging, days, last)


def publish_after(lake: Lake, days: list[date], other: Lake, other_days: list[date]) -> None:
    """Publish days that were staged before another run published days."""
    with Staging(lake) as staging:
        stage_histories(lake, staging, days, LAST)
        publish(other, other_days)


def spans(lake: Lake) -> list[str]:
    return sorted(partition["span"] for partition in lake.delta("silver.histories").partitions())


def assert_complete(lake: Lake) -> None:
    """The table has each event of a known user once, but no impression."""
    columns = "user_id, item_id, event, ts, value, seq, order_id, day"
    of_users = "FROM silver.events WHERE event <> 'impression' AND user_id IS NOT NULL ORDER BY ALL"
    named = "CASE WHEN event IN ('purchase', 'cancel') THEN event_id END AS event_id"
    expected = lake.query(f"SELECT {columns}, {named} {of_users}")
    assert lake.query(f"SELECT {columns}, event_id FROM silver.histories ORDER BY ALL").equals(expected)


@pytest.mark.parametrize("seed", range(3))
def test_days_that_come_in_any_order_and_again_are_there_once(lake: Lake, seed: int) -> None:
    draw = random.Random(seed)
    days = [LAST - timedelta(days=draw.randrange(130)) for _ in range(12)]
    rows: list[dict[str, Any]] = []
    for step, day in enumerate(days):
        rows += [
            event(100 * step + n, draw.choice(days[: step + 1]), draw.choice(["u", "v", None]), draw.choice(KINDS))
            for n in range(20)
        ]
        put_events(lake, rows)
        publish(lake, sorted({row["day"] for row in rows[-20:]} | {day}), max(days[: step + 1]))
        if step % 5 == 4:
            merge_months(lake, max(days[: step + 1]))
        assert_complete(lake)
    months = {span for span in spans(lake) if len(span) == 7}
    assert months
    assert not {span[:7] for span in spans(lake) if len(span) == 10} & months


def test_old_days_become_months_and_recent_days_stay_days(lake: Lake) -> None:
    days = [date(2026, 8, 31), date(2026, 9, 1), date(2026, 9, 30), date(2026, 10, 1), LAST]
    put(lake, "silver.events", [event(n, day) for n, day in enumerate(days)])
    assert spans(lake) == ["2026-08", "2026-09", "2026-10-01", "2026-11-20"]
    publish(lake, [date(2026, 9, 30)])  # a late line
    assert_complete(lake)
    assert merge_months(lake, date(2026, 11, 30)) == 0
    assert merge_months(lake, date(2026, 12, 1)) == 1
    assert spans(lake) == ["2026-08", "2026-09", "2026-10", "2026-11-20"]
    assert_complete(lake)


def test_a_lake_that_is_older_than_the_table_gets_all_days(lake: Lake) -> None:
    check_filled(lake)
    put_events(lake, [event(n, LAST - timedelta(days=n)) for n in range(3)])
    with pytest.raises(UserError, match="still empty: run ingest"):
        check_filled(lake)
    publish(lake, [LAST])
    check_filled(lake)
    assert_complete(lake)


def test_a_log_of_impressions_is_no_older_lake(lake: Lake) -> None:
    put_events(lake, [event(1, LAST, kind="impression")])
    publish(lake, [LAST])
    check_filled(lake)
    assert_complete(lake)


def test_days_of_a_run_that_was_killed_between_both_tables_are_made_up_for(lake: Lake) -> None:
    put(lake, "silver.events", [event(1, LAST)])
    put_events(lake, [event(2, LAST)])
    killed, files = LAST + timedelta(days=1), contracts()["bronze.landed_files"].arrow
    names = {
        "file": "f",
        "kind": "events",
        "size": 1,
        "modified": datetime.now(UTC),
        "status": "reading",
        "run_id": "r",
    }
    lake.append("bronze.landed_files", pa.Table.from_pylist([names | {"day": killed}], files))
    replace_metrics(lake, "ingest", killed, metric_rows("event_days", str(LAST), {"lines": 1}))
    publish(lake, [LAST + timedelta(days=2)])
    assert_complete(lake)


def test_ingest_knows_the_items_of_all_events(retail: tuple[Lake, JobResult]) -> None:
    lake = retail[0]
    items = lake.query("SELECT DISTINCT item_id FROM silver.events ORDER BY 1")
    assert lake.query("SELECT item_id FROM silver.item_ids ORDER BY 1").equals(items)
    assert_complete(lake)


def test_two_runs_that_write_the_same_month_do_not_lose_lines(lake: Lake) -> None:
    old, older = date(2026, 8, 3), date(2026, 8, 2)
    put(lake, "silver.events", [event(1, old), event(2, older)])
    other = Lake(lake.root)
    message = r"another run has changed rows of silver\.histories"
    with pytest.raises(CommitFailedError, match=message):
        publish_after(lake, [old], other, [older])
    publish(lake, [old])
    assert_complete(lake)


@pytest.mark.parametrize(
    ("known", "days", "expected"),
    [
        ({"2026-11-19"}, [LAST], SpansToWrite([LAST], set(), set())),
        ({"2026-09"}, [date(2026, 9, 3)], SpansToWrite([date(2026, 9, 3)], {"2026-09"}, {"2026-09"})),
        # A month with other days that are not merged yet gets one more.
        ({"2026-09-02"}, [date(2026, 9, 3)], SpansToWrite([date(2026, 9, 3)], set(), set())),
        ({"2026-09-03"}, [date(2026, 9, 3)], SpansToWrite([date(2026, 9, 3)], set(), {"2026-09"})),
    ],
)
def test_which_spans_are_written_again(known: set[str], days: list[date], expected: SpansToWrite) -> None:
    assert plan_spans(known, days, LAST) == expected
