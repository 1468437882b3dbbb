"""Whether the log files of a day are complete, as the DAG's task `wait` asks."""

import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from jobs.lake import UserError
from jobs.landing.ready import check_readiness
from jobs.landing.settings import Landing

DAY = date(2026, 11, 20)
MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)
LONG_AGO = date(2026, 1, 5)
EVENT = '{"event_id":"1","user_id":"u","item_id":"i","event":"click","ts":"2026-11-20T10:00:00Z"}\n'
SETTINGS = Landing(settle_seconds=60, wait_hours=12)


def land(path: Path, text: str = EVENT) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def after(seconds: float) -> datetime:
    """This many seconds from now: no program can make a file look older than it is."""
    return datetime.now(UTC) + timedelta(seconds=seconds)


@pytest.mark.parametrize("folder", [f"{DAY}", f"day={DAY}", "."])
def test_a_day_is_ready_once_its_files_have_not_changed_for_some_time(tmp_path: Path, folder: str) -> None:
    land(tmp_path / folder / "events.jsonl")
    early = check_readiness(tmp_path, DAY, SETTINGS, after(10))
    assert not early.ready
    assert "events.jsonl changed less than 60 s ago" in early.reason
    assert 40 < early.seconds <= 60
    assert check_readiness(tmp_path, DAY, SETTINGS, after(61)).ready


def test_a_copy_that_keeps_its_old_time_is_still_a_change(tmp_path: Path) -> None:
    land(tmp_path / f"{DAY}/events.jsonl")
    os.utime(tmp_path / f"{DAY}/events.jsonl", (0, 0))
    assert not check_readiness(tmp_path, DAY, SETTINGS, after(1)).ready


def test_an_items_file_that_still_grows_holds_the_day_back(tmp_path: Path) -> None:
    land(tmp_path / f"{DAY}/events.jsonl")
    land(tmp_path / f"{DAY}/items.csv", "item_id\ni\n")
    (tmp_path / f"{DAY}/events.jsonl").touch()
    assert not check_readiness(tmp_path, DAY, SETTINGS, after(30)).ready


@pytest.mark.parametrize("folder", [f"{DAY}", f"day={DAY}", f"dt={DAY}", "20261120", "2026/11/20"])
def test_a_success_file_makes_a_day_ready_at_once(tmp_path: Path, folder: str) -> None:
    land(tmp_path / folder / "events.jsonl")
    land(tmp_path / folder / "_SUCCESS", "")
    assert check_readiness(tmp_path, DAY, SETTINGS, after(0)).ready


def test_a_file_of_another_day_that_changes_does_not_matter(tmp_path: Path) -> None:
    land(tmp_path / f"{DAY}/events.jsonl")
    land(tmp_path / f"{DAY}/_SUCCESS", "")
    land(tmp_path / "2026-11-21/events.jsonl")
    assert check_readiness(tmp_path, DAY, SETTINGS, after(0)).ready


@pytest.mark.parametrize("other", ["2026-11-19/events.jsonl", "events.jsonl", f"{DAY}/items.jsonl"])
def test_a_day_without_events_waits_until_its_limit_and_then_fails(tmp_path: Path, other: str) -> None:
    land(tmp_path / other, EVENT.replace("-20T", "-19T"))
    settings = SETTINGS.model_copy(update={"settle_seconds": 0})
    waiting = check_readiness(tmp_path, DAY, settings, MIDNIGHT + timedelta(hours=11))
    assert not waiting.ready
    assert "holds no events of 2026-11-20; waiting until 2026-11-21 12:00 UTC" in waiting.reason
    with pytest.raises(
        UserError, match=r"wait for 2026-11-20 ended on 2026-11-21 12:00 UTC .* may_be_empty = true at the top"
    ):
        check_readiness(tmp_path, DAY, settings, MIDNIGHT + timedelta(hours=13))
    allowed = settings.model_copy(update={"may_be_empty": True})
    assert not check_readiness(tmp_path, DAY, allowed, MIDNIGHT + timedelta(hours=11)).ready
    assert check_readiness(tmp_path, DAY, allowed, MIDNIGHT + timedelta(hours=13)).ready


def test_an_empty_landing_folder_waits_and_a_missing_one_fails_at_once(tmp_path: Path) -> None:
    assert not check_readiness(tmp_path, DAY, SETTINGS, MIDNIGHT).ready
    with pytest.raises(UserError, match="nowhere does not exist"):
        check_readiness(tmp_path / "nowhere", DAY, SETTINGS, MIDNIGHT)


def test_a_landing_toml_that_is_wrong_or_holds_guesses_fails_at_once(tmp_path: Path) -> None:
    land(tmp_path / f"{DAY}/events.jsonl")
    for text, message in (("unchecked = true", "holds guesses"), ("late_dayz = 3", "late_dayz")):
        (tmp_path / "landing.toml").write_text(text)
        with pytest.raises(UserError, match=message):
            check_readiness(tmp_path, DAY, SETTINGS, MIDNIGHT)


def test_landing_toml_counts_more_than_the_profile(tmp_path: Path) -> None:
    (tmp_path / "landing.toml").write_text("may_be_empty = true\nwait_hours = 1\n")
    assert not check_readiness(tmp_path, DAY, SETTINGS, MIDNIGHT + timedelta(minutes=30)).ready
    assert check_readiness(tmp_path, DAY, SETTINGS, MIDNIGHT + timedelta(hours=2)).ready


def test_a_day_west_of_greenwich_is_not_ready_before_it_has_ended_there(tmp_path: Path) -> None:
    land(tmp_path / f"{DAY}/events.jsonl")
    settings = SETTINGS.model_copy(update={"settle_seconds": 0, "day_zone": "America/New_York"})
    evening = check_readiness(tmp_path, DAY, settings, MIDNIGHT + timedelta(hours=2))
    assert (evening.ready, evening.seconds) == (False, 3 * 3600)
    assert "2026-11-20 ends at 05:00 UTC in America/New_York" in evening.reason
    assert check_readiness(tmp_path, DAY, settings, MIDNIGHT + timedelta(hours=5)).ready


def test_files_that_never_stop_changing_fail_after_the_limit(tmp_path: Path) -> None:
    land(tmp_path / "events.jsonl")
    began = after(0)
    day = began.date() - timedelta(days=1)
    settings = SETTINGS.model_copy(update={"settle_seconds": 3600, "wait_hours": 0.5})
    assert not check_readiness(tmp_path, day, settings, after(1200), began).ready
    with pytest.raises(UserError, match=r"has kept changing for 0\.5 hours .* _SUCCESS"):
        check_readiness(tmp_path, day, settings, after(1860), began)


def test_the_command_says_what_it_waits_for_and_prints_the_result_last(tmp_path: Path) -> None:
    land(tmp_path / f"{DAY}/events.jsonl")
    command = [sys.executable, "-m", "jobs.landing.ready", "--data", str(tmp_path), "--day"]
    env = {**os.environ, "LAKE": str(tmp_path / "lake")}
    waits = subprocess.run([*command, str(DAY)], env=env, capture_output=True, text=True)
    assert json.loads(waits.stdout)["ready"] is False
    assert waits.stderr.startswith("waiting: 2026-11-20/events.jsonl changed less than 60 s ago")
    over = subprocess.run([*command, str(LONG_AGO)], env=env, capture_output=True, text=True)
    assert over.returncode == 1
    assert "the wait for 2026-01-05 ended on 2026-01-06 12:00 UTC" in over.stderr
