"""Files that are read again: what is built again, and what stays."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.lake import Lake
from jobs.settings.tree import Settings
from tests.jobs.landing.engines import ENGINES, Engine, use_engine
from tests.jobs.landing.test_arrivals import change, events_of, land, status_of, titles_of
from tests.jobs.landing.test_ingest import DAY1, DAY2, DAY3, build_event, write_log


@pytest.mark.parametrize("local_mib", [16, 0], ids=["duckdb", "spark"])
def test_a_line_that_was_landed_in_time_stays_good_when_its_file_is_read_again_much_later(
    lake: Lake, settings: Settings, tmp_path: Path, local_mib: int
) -> None:
    settings = change(settings, late_days=2, local_mib=local_mib)
    write_log(tmp_path, "events.jsonl.gz", [build_event(1, DAY1, value=1)])
    land(lake, settings, DAY1, tmp_path)
    later = DAY1 + timedelta(days=5)
    lines = [build_event(1, DAY1, value=2), build_event(2, DAY1), build_event(3, later)]
    write_log(tmp_path, "events.jsonl.gz", lines)
    land(lake, settings, later, tmp_path)
    assert events_of(lake) == {"e1": DAY1, "e3": later}
    values = {row["event_id"]: row["value"] for row in lake.arrow("silver.events").to_pylist()}
    assert values == {"e1": 2.0, "e3": None}
    assert lake.arrow("bronze.rejects", ["line", "reason"]).to_pylist() == [{"line": 2, "reason": "ts is too late"}]


@pytest.mark.parametrize("place", ["", str(DAY1)], ids=["outside", "day folder"])
def test_lines_that_landing_toml_reads_differently_now_are_other_events_and_none_is_left(
    lake: Lake, settings: Settings, tmp_path: Path, place: str
) -> None:
    lines = [build_event(n, DAY1, key=f"k{n}") for n in range(2)]
    write_log(tmp_path / place, "events.jsonl.gz", list(lines))
    land(lake, settings, DAY1, tmp_path)
    (tmp_path / "landing.toml").write_text('[events]\ncolumns = {event_id = "key"}\nnames = {click = "purchase"}\n')
    land(lake, settings, DAY1, tmp_path)
    rows = lake.arrow("silver.events", ["event_id", "event"]).to_pylist()
    assert sorted((row["event_id"], row["event"]) for row in rows) == [("k0", "purchase"), ("k1", "purchase")]


def files_of(lake: Lake, table: str, day: date) -> list[str]:
    """The data files of a day. A day that is written again has other ones."""
    return sorted(lake.delta(table).file_uris([("day", "=", str(day))]))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_file_that_grows_changes_only_the_days_of_its_new_lines(
    lake: Lake, settings: Settings, tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = use_engine(engine, settings, monkeypatch)
    lines: list[dict[str, Any] | str] = [build_event(1, DAY1), build_event(2, DAY2), "bad"]
    write_log(tmp_path, "events.jsonl.gz", lines)
    land(lake, settings, DAY2, tmp_path, since=DAY1)
    unchanged = files_of(lake, "silver.events", DAY2)
    write_log(tmp_path, "events.jsonl.gz", [*lines, build_event(3, DAY1), build_event(4, DAY3)])
    result = land(lake, settings, DAY3, tmp_path)
    assert events_of(lake) == {"e1": DAY1, "e3": DAY1, "e2": DAY2, "e4": DAY3}
    assert files_of(lake, "silver.events", DAY2) == unchanged
    assert result.notes["event_days"] == 2
    assert (result.rows_in, result.rows_out, result.rows_rejected) == (5, 4, 1), "the bad line is due on this day now"
    assert status_of(lake, "events.jsonl.gz")["rows"] == 5


@pytest.mark.parametrize("place", ["", f"{DAY1}/"], ids=["outside", "day folder"])
def test_a_file_that_landing_toml_calls_one_of_items_now_leaves_the_events(
    lake: Lake, settings: Settings, tmp_path: Path, place: str
) -> None:
    write_log(tmp_path / str(DAY1), "events.jsonl.gz", [build_event(1, DAY1)])
    write_log(tmp_path / place, "log.jsonl.gz", [build_event(2, DAY1, item_id="a"), "bad"])
    patterns = {"events": f"{DAY1}/events.jsonl.gz", "items": f"{place}log.jsonl.gz"}
    toml = '[events]\nfiles = ["{events}", "{items}"]\n'.format(**patterns)
    (tmp_path / "landing.toml").write_text(toml.replace(str(DAY1), "{day}"))
    land(lake, settings, DAY1, tmp_path)
    assert events_of(lake).keys() == {"e1", "e2"}
    toml = '[events]\nfiles = ["{events}"]\n[items]\nfiles = ["{items}"]\n'.format(**patterns)
    (tmp_path / "landing.toml").write_text(toml.replace(str(DAY1), "{day}"))
    land(lake, settings, DAY1, tmp_path)
    assert events_of(lake).keys() == {"e1"}
    assert titles_of(lake).keys() == {"a"}
    assert set(lake.arrow("bronze.raw_events")["file"].to_pylist()) == {f"{DAY1}/events.jsonl.gz"}
    assert status_of(lake, f"{place}log.jsonl.gz")["rows"] == 2


def test_a_new_day_reads_no_item_lines_of_earlier_days(lake: Lake, settings: Settings, tmp_path: Path) -> None:
    for number, (day, title) in enumerate(((DAY1, "old"), (DAY2, "new"))):
        write_log(tmp_path / str(day), "events.jsonl.gz", [build_event(number, day)])
        write_log(tmp_path / str(day), "items.jsonl.gz", [{"item_id": "i", "title": title}])
    land(lake, settings, DAY1, tmp_path)
    for file in Path(lake.path("bronze.raw_items")).rglob("*.parquet"):
        file.unlink()  # whoever reads these lines now fails
    land(lake, settings, DAY2, tmp_path)
    assert titles_of(lake) == {"i": "new"}
