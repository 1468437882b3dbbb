"""Files that come late, grow, are overwritten, fail or are deleted: no line is lost, and none counts twice."""

import uuid
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake.exceptions import CommitFailedError

from jobs import ingest
from jobs.lake import JobResult, Lake, UserError
from jobs.lake.contracts import contracts
from jobs.settings.tree import Settings
from jobs.simulation.arrivals import plan_deliveries
from jobs.simulation.landing import write_landing
from tests.jobs.landing.engines import ENGINES, Engine, use_engine
from tests.jobs.landing.test_ingest import DAY1, DAY2, DAY3, build_event, hash_rows, write_log

DAY4 = DAY3 + timedelta(days=1)


def land(lake: Lake, settings: Settings, day: date, folder: Path, **options: Any) -> JobResult:
    """Run ingest as a run of its own."""
    return ingest.run(Lake(lake.root, run_id=uuid.uuid4().hex), settings, day, data=folder, **options)


def change(settings: Settings, **values: Any) -> Settings:
    """The settings with other values in [landing]."""
    return settings.model_copy(update={"landing": settings.landing.model_copy(update=values)})


def events_of(lake: Lake) -> dict[str, date]:
    """The day of each event of silver.events."""
    return {row["event_id"]: row["day"] for row in lake.arrow("silver.events").to_pylist()}


def titles_of(lake: Lake) -> dict[str, str]:
    return {row["item_id"]: row["title"] for row in lake.arrow("silver.items").to_pylist()}


def status_of(lake: Lake, name: str) -> dict[str, Any]:
    return next(row for row in lake.arrow("bronze.landed_files").to_pylist() if row["file"] == name)


@pytest.mark.parametrize("engine", ENGINES)
def test_files_outside_day_folders_bring_late_lines_new_items_and_new_titles(
    lake: Lake, settings: Settings, tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = use_engine(engine, settings, monkeypatch)
    days = (  # what the files hold on each day; the last one has a line of the first day, and lacks the lines of before
        (DAY1, [build_event(1, DAY1)], {"a": "old", "b": "b"}),
        (DAY2, [build_event(1, DAY1), build_event(2, DAY2)], {"a": "new", "c": "c"}),
        (DAY3, [build_event(3, DAY1), build_event(4, DAY3)], {"a": "newest", "c": "c"}),
    )
    for day, events, titles in days:
        write_log(tmp_path, "events.jsonl.gz", events)
        lines = "".join(f"{item},{title}\n" for item, title in titles.items())
        (tmp_path / "items.csv").write_text("item_id,title\n" + lines)
        land(lake, settings, day, tmp_path)
    assert events_of(lake) == {"e1": DAY1, "e3": DAY1, "e2": DAY2, "e4": DAY3}
    assert titles_of(lake) == {"a": "newest", "b": "b", "c": "c"}
    days_of_items = {row["item_id"]: row["day"] for row in lake.arrow("silver.items").to_pylist()}
    assert days_of_items == {"a": DAY3, "b": DAY1, "c": DAY2}, "an item whose line has not changed is due as before"


def test_a_day_that_is_landed_again_without_its_folder_keeps_its_lines(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    for number, day in enumerate((DAY1, DAY2)):
        write_log(tmp_path / str(day), "events.jsonl.gz", [build_event(number, day), "bad"])
        land(lake, settings, day, tmp_path)
    (tmp_path / str(DAY1) / "events.jsonl.gz").unlink()
    result = land(lake, settings, DAY1, tmp_path)
    assert (result.rows_in, result.rows_out, result.rows_rejected) == (2, 1, 1)
    assert events_of(lake) == {"e0": DAY1, "e1": DAY2}


def test_one_late_event_does_not_empty_the_catalogue(lake: Lake, settings: Settings, tmp_path: Path) -> None:
    write_log(tmp_path, "items.jsonl.gz", [{"item_id": "i", "title": "t"}])
    write_log(tmp_path / str(DAY1), "events.jsonl.gz", [build_event(1, DAY1)])
    land(lake, settings, DAY1, tmp_path)
    long_ago = DAY2 - timedelta(days=20)
    write_log(tmp_path / str(DAY2), "events.jsonl.gz", [build_event(2, DAY2), build_event(3, long_ago)])
    for day in (DAY2, DAY1):
        land(lake, settings, day, tmp_path)
        assert titles_of(lake) == {"i": "t"}
    assert events_of(lake)["e3"] == long_ago


def test_a_run_of_an_earlier_day_does_not_bring_back_old_titles(lake: Lake, settings: Settings, tmp_path: Path) -> None:
    for day, title in ((DAY1, "old"), (DAY3, "new")):
        write_log(tmp_path / str(day), "events.jsonl.gz", [build_event(day.day, day)])
        write_log(tmp_path / str(day), "items.jsonl.gz", [{"item_id": "i", "title": title}])
    for day in (DAY1, DAY3, DAY1):
        land(lake, settings, day, tmp_path)
    assert titles_of(lake) == {"i": "new"}


def test_a_day_folder_before_the_first_landed_day_is_listed_until_it_is_landed_as_history(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    for number, day in enumerate((DAY1, DAY2)):
        write_log(tmp_path / str(day), "events.jsonl.gz", [build_event(number, day)])
    land(lake, settings, DAY2, tmp_path)
    name = f"{DAY1}/events.jsonl.gz"
    assert events_of(lake) == {"e1": DAY2}
    assert (status_of(lake, name)["status"], "--since" in status_of(lake, name)["reason"]) == ("ignored", True)
    land(lake, settings, DAY2, tmp_path, since=DAY1)
    assert events_of(lake) == {"e0": DAY1, "e1": DAY2}
    assert (status_of(lake, name)["status"], status_of(lake, name)["reason"]) == ("landed", None)


def test_an_item_that_a_corrected_file_no_longer_has_goes_back_to_its_earlier_version_or_goes(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    write_log(tmp_path / str(DAY1), "items.jsonl.gz", [{"item_id": "i", "title": "first"}])
    for day in (DAY1, DAY2, DAY3):
        write_log(tmp_path / str(day), "events.jsonl.gz", [build_event(day.day, day)])
    write_log(tmp_path / str(DAY2), "items.jsonl.gz", [{"item_id": "i", "title": "wrong"}, {"item_id": "wrong"}])
    for day in (DAY1, DAY2):
        land(lake, settings, day, tmp_path)
    assert titles_of(lake) == {"i": "wrong", "wrong": None}
    write_log(tmp_path / str(DAY2), "items.jsonl.gz", [""])
    land(lake, settings, DAY3, tmp_path)
    assert titles_of(lake) == {"i": "first"}


@pytest.mark.parametrize("repaired", ["deleted", "renamed", "corrected"])
def test_lines_that_were_landed_stay_when_the_newer_file_is_refused_and_then_repaired(
    lake: Lake, settings: Settings, tmp_path: Path, repaired: str
) -> None:
    write_log(tmp_path, "events.jsonl.gz", [build_event(1, DAY1)])
    land(lake, settings, DAY1, tmp_path)
    good = tmp_path / "events.jsonl.gz"
    write_log(tmp_path, "events.jsonl.gz", [build_event(2, DAY2)] * 100)
    whole = good.read_bytes()
    good.write_bytes(whole[:-9])
    with pytest.raises(UserError, match="cannot be read to its end"):
        land(lake, settings, DAY2, tmp_path)
    good.unlink()
    write_log(tmp_path / str(DAY2), "events.jsonl.gz", [build_event(3, DAY2)])
    if repaired == "renamed":
        (tmp_path / "events-2.jsonl.gz").write_bytes(whole)
    elif repaired == "corrected":
        good.write_bytes(whole)
    land(lake, settings, DAY2, tmp_path)
    assert events_of(lake) == {"e1": DAY1, "e3": DAY2} | ({} if repaired == "deleted" else {"e2": DAY2})
    assert status_of(lake, "events.jsonl.gz")["status"] == "landed"
    if repaired == "deleted":  # the file may come back as it was when it was refused
        good.write_bytes(whole)
        land(lake, settings, DAY2, tmp_path)
        assert events_of(lake) == {"e1": DAY1, "e2": DAY2, "e3": DAY2}


def test_a_run_of_an_earlier_day_keeps_the_lines_of_a_later_file_whose_correction_was_refused(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    for number, day in enumerate((DAY1, DAY2)):
        write_log(tmp_path / str(day), "events.jsonl.gz", [build_event(number, day)])
    for day in (DAY1, DAY2):
        land(lake, settings, day, tmp_path)
    file = tmp_path / str(DAY2) / "events.jsonl.gz"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(UserError):
        land(lake, settings, DAY2, tmp_path)
    land(lake, settings, DAY1, tmp_path)
    (tmp_path / "landing.toml").write_text(f'ignore = ["{DAY2}/events*"]')
    land(lake, settings, DAY2, tmp_path)
    assert events_of(lake) == {"e0": DAY1, "e1": DAY2}


def test_lines_that_waited_for_a_day_without_a_run_are_landed_by_the_next_run(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    write_log(tmp_path, "events.jsonl.gz", [build_event(n, DAY1 + timedelta(days=n)) for n in range(4)])
    land(lake, settings, DAY1, tmp_path)
    assert (events_of(lake), status_of(lake, "events.jsonl.gz")["rows_waiting"]) == ({"e0": DAY1}, 3)
    result = land(lake, settings, DAY3, tmp_path)
    assert (result.rows_in, events_of(lake)) == (2, {"e0": DAY1, "e1": DAY2, "e2": DAY3})
    assert status_of(lake, "events.jsonl.gz")["rows_waiting"] == 1
    assert land(lake, settings, DAY2, tmp_path).rows_in == 1
    assert land(lake, settings, DAY4, tmp_path).rows_in == 1
    assert events_of(lake)["e3"] == DAY4


def test_the_evening_of_a_shop_west_of_greenwich_is_due_on_the_next_day(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    settings = change(settings, day_zone="America/New_York")
    for number, day in enumerate((DAY1, DAY2, DAY3)):
        lines = [build_event(number, day), build_event(number, day, event_id=f"evening{number}")]
        lines[1]["ts"] = f"{day + timedelta(days=1)}T03:00:00Z"
        write_log(tmp_path / str(day), "events.jsonl.gz", lines)
    land(lake, settings, DAY1, tmp_path)
    assert events_of(lake) == {"e0": DAY1}
    land(lake, settings, DAY3, tmp_path)  # lands the folder of the day without a run, too
    land(lake, settings, DAY1, tmp_path)
    assert events_of(lake) == {"e0": DAY1, "evening0": DAY2, "e1": DAY2, "evening1": DAY3, "e2": DAY3}


def test_lines_that_came_too_late_are_rejected_until_history_is_landed_or_late_days_is_longer(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    settings = change(settings, late_days=2)
    days = [DAY4 - timedelta(days=n) for n in (4, 3, 2, 0)]
    write_log(tmp_path, "events.jsonl.gz", [build_event(n, day) for n, day in enumerate(days)])
    land(lake, settings, DAY4, tmp_path)
    assert events_of(lake).keys() == {"e2", "e3"}
    assert lake.arrow("bronze.rejects")["reason"].to_pylist() == ["ts is too late"] * 2
    land(lake, change(settings, late_days=3), DAY4, tmp_path)
    assert events_of(lake).keys() == {"e1", "e2", "e3"}
    land(lake, settings, DAY4, tmp_path, since=days[0])
    assert events_of(lake).keys() == {"e0", "e1", "e2", "e3"}
    assert lake.arrow("bronze.rejects").num_rows == 0


def test_nothing_is_published_if_the_rows_do_not_add_up(
    lake: Lake, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_log(tmp_path / str(DAY1), "events.jsonl.gz", [build_event(1, DAY1)])
    write_log(tmp_path / str(DAY1), "items.jsonl.gz", [{"item_id": "i"}])
    with monkeypatch.context() as broken:
        broken.setattr(ingest, "stage_events", lambda *args: None)  # a step that loses the events
        with pytest.raises(RuntimeError, match="events do not add up"):
            land(lake, settings, DAY1, tmp_path)
    for table in ("bronze.raw_events", "bronze.raw_items", "silver.events", "silver.items"):
        assert lake.arrow(table).num_rows == 0, table
    land(lake, settings, DAY1, tmp_path)
    assert events_of(lake) == {"e1": DAY1}


def test_days_that_arrive_disordered_late_twice_in_parts_and_are_deleted_give_the_rows_of_the_ordered_days(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    days = [DAY1 + timedelta(days=n) for n in range(5)]
    sizes: dict[str, Any] = {"items": 60, "users": 30, "events_per_day": 300, "new_items_per_day": 5, "seed": 5}
    write_landing(tmp_path / "simulated", days=days, faults=0.05, **sizes)
    ordered, disordered = plan_deliveries(tmp_path / "simulated", days, seed=2)
    assert disordered.lines.keys() >= {"in time", "late", "twice", "in parts", "overwritten"}
    for _ in ordered.deliver(tmp_path / "ordered"):
        pass
    land(lake, settings, days[-1], tmp_path / "ordered", since=days[0])
    other = Lake(tmp_path / "other")
    other.create()
    for day in disordered.deliver(tmp_path / "disordered", kept_days=2):
        land(other, settings, day, tmp_path / "disordered")
    delivered = {name for files in disordered.files.values() for name, _ in files}
    assert len(list((tmp_path / "disordered").rglob("*.gz"))) < len(delivered)
    assert lake.arrow("silver.events").num_rows > 900
    for table in ("silver.events", "silver.items"):
        columns = contracts()[table].names
        assert hash_rows(other, table, columns) == hash_rows(lake, table, columns), table


def test_of_two_runs_that_read_a_file_at_once_only_the_later_one_lands_it(
    lake: Lake, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_log(tmp_path / str(DAY1), "events.jsonl.gz", [build_event(1, DAY1)])
    stage_items = ingest.stage_items

    def stage_items_while_another_run_works(*arguments: Any) -> None:
        monkeypatch.setattr(ingest, "stage_items", stage_items)
        land(lake, settings, DAY1, tmp_path)
        stage_items(*arguments)

    monkeypatch.setattr(ingest, "stage_items", stage_items_while_another_run_works)
    with pytest.raises(CommitFailedError, match="another run began to read"):
        land(lake, settings, DAY1, tmp_path)
    assert events_of(lake) == {"e1": DAY1}
    assert lake.arrow("bronze.raw_events").num_rows == 1
    land(lake, settings, DAY1, tmp_path)
    assert lake.arrow("bronze.raw_events").num_rows == 1
