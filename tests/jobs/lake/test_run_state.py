"""One state for one run: what other runs commit meanwhile changes nothing that a run reads."""

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from jobs.lake import Lake
from jobs.lake.contracts import contracts
from jobs.lake.run_state import pin_run, share
from jobs.lake.staging import Staging

DAY, EARLIER = date(2026, 11, 20), date(2026, 11, 19)
EVENTS, VECTORS = "silver.events", "gold.item_embeddings"


def start(lake: Lake, job: str, dag_run: str | None, day: date = DAY) -> Lake:
    """The lake as a task of a run sees it."""
    task = Lake(lake.root, run_id=f"{job}-of-{dag_run}", dag_run=dag_run)
    pin_run(task, task.create(), job, day)
    return task


def events(*names: str, day: date = DAY) -> pa.Table:
    ts = datetime(day.year, day.month, day.day, tzinfo=UTC)
    row = {"item_id": "i", "event": "click", "ts": ts, "landed_day": day, "day": day}
    return pa.Table.from_pylist([{"event_id": name, **row} for name in names], contracts()[EVENTS].arrow)


def vector(item: str, day: date = DAY) -> pa.Table:
    row: dict[str, Any] = {"item_id": item, "content_hash": "h", "vector": [1.0], "encoder_version": "e", "day": day}
    return pa.Table.from_pylist([row], contracts()[VECTORS].arrow)


def read(lake: Lake) -> list[str]:
    """The events that a task sees, by every way to read them."""
    text = f"SELECT event_id FROM {EVENTS} ORDER BY event_id"
    names = [row[0] for row in lake.sql(text).collect()]
    assert lake.query(text)["event_id"].to_pylist() == names
    assert sorted(lake.arrow(EVENTS)["event_id"].to_pylist()) == names
    assert sum(batch.num_rows for batch in lake.batches(EVENTS, ["event_id"])) == len(names)
    return names


@pytest.mark.parametrize("dag_run", [None, "scheduled__2026-11-20"])
def test_an_ingest_that_commits_between_two_reads_of_a_job_changes_nothing_that_the_job_reads(
    lake: Lake, dag_run: str | None
) -> None:
    lake.replace(EVENTS, events("e1"))
    task = start(lake, "pairs", dag_run)
    late_frame = task.sql(f"SELECT event_id FROM {EVENTS}")
    assert read(task) == ["e1"]
    start(lake, "ingest", "other").replace(EVENTS, events("e1", "e2"), day=DAY)
    assert read(task) == ["e1"]
    assert late_frame.count() == 1
    assert read(start(lake, "pairs", None)) == ["e1", "e2"]


def test_a_backfill_beside_a_run_changes_nothing_that_later_tasks_of_the_run_read(lake: Lake) -> None:
    start(lake, "ingest", "daily").replace(EVENTS, events("e1"), day=DAY)
    backfill = start(lake, "ingest", "backfill", EARLIER)
    with Staging(backfill) as staging:
        staging.replace(EVENTS, events("e0", day=EARLIER), day=EARLIER)
    assert read(start(lake, "train", "daily")) == ["e1"]
    assert read(start(lake, "train", "backfill", EARLIER)) == ["e0", "e1"]


@pytest.mark.parametrize("engine", ["arrow", "spark", "staged"])
def test_a_task_that_is_cleared_reads_what_the_run_wrote_since_also_if_the_writer_was_killed(
    lake: Lake, engine: str
) -> None:
    start(lake, "ingest", "daily").replace(EVENTS, events("e1"), day=DAY)
    start(lake, "ingest", "other").replace(EVENTS, events("e0", day=EARLIER), day=EARLIER)
    repair = start(lake, "repair", "daily")  # it leaves nothing behind but its commit
    if engine == "staged":
        with Staging(repair) as staging:
            staging.replace(EVENTS, events("e1", "e2"), day=DAY)
    else:
        rows = events("e1", "e2")
        repair.replace(EVENTS, rows if engine == "arrow" else repair.spark.createDataFrame(rows), day=DAY)
    start(lake, "ingest", "other").replace(EVENTS, events("e9", day=EARLIER), day=EARLIER)
    assert read(start(lake, "train", "daily")) == ["e0", "e1", "e2"]


def test_clearing_ingest_begins_the_run_again_with_what_other_runs_have_landed(lake: Lake) -> None:
    start(lake, "ingest", "daily").replace(EVENTS, events("e1"), day=DAY)
    start(lake, "ingest", "next").append(EVENTS, events("late"))
    assert read(start(lake, "train", "daily")) == ["e1"]
    assert read(start(lake, "ingest", "daily")) == ["e1", "late"]
    assert read(start(lake, "train", "daily")) == ["e1", "late"]


def test_a_table_of_all_runs_is_taken_over_at_its_newest_version_by_the_task_that_adds_to_it_and_by_later_tasks(
    lake: Lake,
) -> None:
    start(lake, "ingest", "daily")
    start(lake, "embed", "backfill", EARLIER).append(VECTORS, vector("i1", EARLIER))
    task = start(lake, "embed", "daily")
    assert task.arrow(VECTORS).num_rows == 0
    assert share(task, DAY, VECTORS)
    assert not share(task, DAY, VECTORS)
    assert task.arrow(VECTORS)["item_id"].to_pylist() == ["i1"]
    assert start(lake, "quantize", "daily").arrow(VECTORS)["item_id"].to_pylist() == ["i1"]


def test_a_table_that_a_run_writes_inside_read_at_is_read_as_written(lake: Lake) -> None:
    lake.replace(EVENTS, events("e1"))
    task = start(lake, "judge", None)
    first = task.pins[EVENTS]
    with task.read_at({EVENTS: first}):
        task.replace(EVENTS, events("e2"))
    assert read(task) == ["e2"]
    with task.read_at({EVENTS: first}):
        assert read(task) == ["e1"]
    assert read(task) == ["e2"]


def test_what_is_live_is_always_read_at_its_newest_version(lake: Lake) -> None:
    task = start(lake, "promote", "daily")
    row = {"release": 1, "kind": "promote", "model_version": "m", "model_uri": "u", "codebook_version": "c"}
    row |= {"encoder_version": "e", "tables": [], "reason": "r", "run_id": "x", "day": DAY}
    assert task.arrow("gold.releases").num_rows == 0
    lake.append("gold.releases", pa.Table.from_pylist([row], contracts()["gold.releases"].arrow))
    assert task.arrow("gold.releases").num_rows == 1


def test_a_table_stays_open_until_it_is_read_at_another_version(lake: Lake) -> None:
    lake.replace(EVENTS, events("e1"))
    task = start(lake, "judge", None)
    by_hand = Lake(lake.root)
    pinned, newest = task.delta(EVENTS), by_hand.delta(EVENTS)
    assert task.delta(EVENTS) is pinned
    assert by_hand.delta(EVENTS) is newest
    lake.replace(EVENTS, events("e2"))
    assert task.delta(EVENTS) is pinned
    assert by_hand.delta(EVENTS).version() == newest.version() + 1
    by_hand.delete(EVENTS, "event_id", pa.array(["e2"]))
    assert (read(by_hand), read(task)) == ([], ["e1"])
