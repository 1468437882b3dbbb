"""Two runs that write the same table: nothing that one of them wrote is lost, and nothing is there twice."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow.dataset as ds
import pytest
from deltalake.exceptions import CommitFailedError

from jobs import ask, judge, quantize, samples
from jobs.item_pairs.verdicts import Pair, Verdict
from jobs.lake import Lake, UserError
from jobs.lake.run_state import pin_run
from jobs.release import publishing
from jobs.settings.tree import Settings
from tests.jobs.codebooks.made_vectors import put_vectors, read_ids, with_quantizer
from tests.jobs.lake_rows import put, release_row

DAY, NEXT = date(2026, 11, 20), date(2026, 11, 21)


def start(lake: Lake, dag_run: str, job: str = "ingest", day: date = DAY) -> Lake:
    """The lake as a task of a run sees it. The run begins if the job is ingest."""
    task = Lake(lake.root, run_id=f"{job}-of-{dag_run}", dag_run=dag_run)
    pin_run(task, task.create(), job, day)
    return task


def pair(a: str, b: str, source: str = "swing") -> dict[str, Any]:
    return {"item_a": a, "item_b": b, "source": source, "score": 1.0, "day": DAY}


def item(name: str) -> dict[str, Any]:
    return {"item_id": name, "title": name, "text": name, "content_hash": name, "file": "f", "line": 1, "day": DAY}


def event(name: str, day: date = DAY, kind: str = "impression") -> dict[str, Any]:
    moment = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    ids = {"event_id": name, "request_id": name, "user_id": "u", "item_id": "i"}
    return {**ids, "event": kind, "ts": moment, "landed_day": day, "day": day}


class JudgeBesideAnotherRun:
    """A judge during whose work another run finds one more pair."""

    version = "v"

    def __init__(self, lake: Lake) -> None:
        self.lake, self.asked = lake, list[Pair]()

    def judge(self, pairs: list[Pair]) -> Iterator[tuple[Pair, Verdict]]:
        if not self.asked:
            put(Lake(self.lake.root), "silver.item_pairs", [pair("a", "b"), pair("c", "d")])
        self.asked += pairs
        for asked in pairs:
            yield asked, Verdict("yes", "because")


def test_pairs_that_another_run_finds_while_the_judge_works_are_not_lost(lake: Lake) -> None:
    put(lake, "silver.item_pairs", [pair("a", "b")])
    task = start(lake, "daily")
    with pytest.raises(CommitFailedError):
        judge.judge_pairs(task, {"swing": JudgeBesideAnotherRun(lake)}, DAY)
    assert lake.arrow("silver.item_pairs").num_rows == 2


def test_a_judge_that_runs_again_judges_what_the_other_run_found(lake: Lake, settings: Settings) -> None:
    put(lake, "silver.item_pairs", [pair("a", "b")])
    start(lake, "daily")
    put(lake, "silver.item_pairs", [pair("a", "b"), pair("c", "d")])
    assert judge.run(start(lake, "daily", "judge"), settings, DAY).notes["pairs"] == 2
    assert lake.arrow("silver.item_pairs")["verdict"].null_count == 0


def test_items_about_which_another_run_has_asked_meanwhile_are_not_asked_about_twice(
    lake: Lake, settings: Settings
) -> None:
    put(lake, "silver.items", [item("red kettle")])
    start(lake, "daily")
    ask.run(start(lake, "backfill"), settings, DAY - timedelta(days=1))
    before = lake.arrow(ask.TABLE).num_rows
    assert "skipped" in ask.run(start(lake, "daily", "ask"), settings, DAY).notes
    assert lake.arrow(ask.TABLE).num_rows == before > 0


def test_an_item_gets_one_id_although_another_run_has_given_ids_since_this_run_began(
    lake: Lake, settings: Settings
) -> None:
    settings = with_quantizer(settings)
    put_vectors(lake, settings, range(40), DAY)
    quantize.run(lake, settings, DAY)
    put_vectors(lake, settings, range(60), NEXT)
    start(lake, "daily", day=NEXT)
    quantize.run(start(lake, "backfill", day=NEXT), settings, NEXT)
    ids = read_ids(lake)
    quantize.run(start(lake, "daily", "quantize", NEXT), settings, NEXT)
    assert read_ids(lake) == ids  # it also says that no item has two
    assert len(set(ids.values())) == 60


def test_samples_of_late_lines_that_another_run_has_built_are_not_replaced_by_older_ones(
    lake: Lake, settings: Settings
) -> None:
    put(lake, "silver.events", [event("e1")])
    samples.run(start(lake, "daily"), settings, DAY)
    other = start(lake, "next", day=NEXT)
    put(other, "silver.events", [event("e1"), event("late"), event("e2", NEXT)])
    samples.run(other, settings, NEXT, since=DAY)
    with pytest.raises(UserError, match="clear ingest of this run"):
        samples.run(start(lake, "daily", "samples"), settings, DAY)
    start(lake, "daily", "ingest")
    samples.run(start(lake, "daily", "samples"), settings, DAY)
    assert lake.arrow("gold.samples", where=ds.field("day") == DAY).num_rows == 2


def test_a_release_does_not_replace_a_rollback_that_was_written_at_the_same_time(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(lake, "gold.releases", [release_row(1, DAY - timedelta(days=1)), release_row(2, DAY)])
    monkeypatch.setattr(publishing, "load_card", lambda *_: None)
    other_rollback = release_row(3, DAY, kind="rollback")
    monkeypatch.setattr(
        publishing, "set_champion_alias", lambda *_: put(lake, "gold.releases", [release_row(2, DAY), other_rollback])
    )
    with pytest.raises(CommitFailedError, match="another run wrote release 3"):
        publishing.roll_back(start(lake, "by hand", "promote"))
    assert lake.arrow("gold.releases").sort_by("release")["reason"].to_pylist()[-1] == other_rollback["reason"]
