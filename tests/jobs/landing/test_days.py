"""Days of a landing folder, and days on the command line."""

import argparse
import json
import os
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.lake import UserError
from jobs.landing.days import list_event_days
from jobs.landing.settings import Landing
from jobs.runtime.entry import parse_day


def test_day_folders_and_the_dates_of_flat_files_are_found(tmp_path: Path) -> None:
    (tmp_path / "2011-01-03").mkdir()
    (tmp_path / "2011-01-03/events.csv").write_text("event_id,ts\n1,never looked at\n")
    times = ["2011-01-05T10:00:00Z", "2011-02-30T10:00:00Z", "yesterday", f"{date.today().year + 80}-01-01T00:00:00Z"]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps({"event_id": "1", "ts": ts}) + "\n" for ts in times))
    (tmp_path / "events2.csv").write_text("event_id,item_id,event,ts\n1,i,click,2011-01-06T00:00:00Z\n")
    assert list_event_days(tmp_path, Landing()) == ["2011-01-03", "2011-01-05", "2011-01-06"]


def test_a_day_with_nothing_but_ignored_lines_has_no_events(tmp_path: Path) -> None:
    (tmp_path / "landing.toml").write_text('preset = "segment"\n')
    viewed = {"type": "track", "event": "Product Viewed", "messageId": "m", "properties": {"product_id": "A"}}
    calls = [viewed | {"timestamp": "2011-01-05T10:00:00Z"}, {"type": "page", "timestamp": "2011-01-06T00:00:00Z"}]
    (tmp_path / "tracks.json").write_text("".join(json.dumps(call) + "\n" for call in calls))
    assert list_event_days(tmp_path, Landing()) == ["2011-01-05"]


def test_a_parquet_time_counts_in_utc_and_a_wrong_type_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    stamp = pa.array([1294189200_000_000 + 22 * 3_600_000_000], pa.timestamp("us", "UTC"))  # 2011-01-05, late in UTC
    pq.write_table(pa.table({"event_id": ["1"], "ts": stamp}), tmp_path / "events.parquet")
    assert list_event_days(tmp_path, Landing()) == ["2011-01-05"]
    pq.write_table(pa.table({"event_id": ["1"], "ts": [True]}), tmp_path / "events.parquet")
    with pytest.raises(UserError, match=r"events\.parquet: has a column ts of type bool"):
        list_event_days(tmp_path, Landing())


@pytest.mark.parametrize("name", ["events.csv", "events.parquet"])
def test_a_file_without_times_is_named(tmp_path: Path, name: str) -> None:
    if name.endswith("csv"):
        (tmp_path / name).write_text("event_id,when\n1,2011-01-06T00:00:00Z\n")
    else:
        pq.write_table(pa.table({"event_id": ["1"]}), tmp_path / name)
    with pytest.raises(UserError, match=rf"{name}: .*ts"):
        list_event_days(tmp_path, Landing())


@pytest.mark.parametrize(
    ("text", "message"),
    [("0001-01-01", "before 1970"), ("20.11.2026", "write it as 2026-11-20"), ("2999-01-01", "is in the future")],
)
def test_a_day_that_no_log_can_have_is_rejected(text: str, message: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        parse_day(text)


def test_a_folder_or_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("2011-01-03", "2011-01-04"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "events.csv").write_text("event_id,item_id,event,ts\n1,i,click,2011-01-03T00:00:00Z\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: "2011-01-04" not in str(path))
        with pytest.raises(UserError, match=r"2011-01-04/events\.csv cannot be read"):
            list_event_days(tmp_path, Landing())
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("2011-01-04"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=r"2011-01-04 cannot be read \(Permission denied\)"):
        list_event_days(tmp_path, Landing())


def test_a_name_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/events-\xff.csv")).write_text("event_id,item_id,event,ts\n")
    with pytest.raises(UserError, match=r"events-\\xff\.csv' has a name that is not UTF-8; rename it"):
        list_event_days(tmp_path, Landing())


def test_a_link_to_itself_is_named(tmp_path: Path) -> None:
    (tmp_path / "events.csv").symlink_to("events.csv")
    with pytest.raises(UserError, match=r"events\.csv is a link to a file that does not exist"):
        list_event_days(tmp_path, Landing())
