"""A job that is killed leaves nothing that running it again does not mend."""

import hashlib
import os
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from jobs import ingest
from jobs.lake import Lake
from jobs.settings import Settings
from tests.conftest import DATA

FIRST, LAST = date(2011, 1, 4), date(2011, 1, 9)
TABLES = {
    "bronze.raw_events": ["file", "line", "raw", "reason", "day"],
    "bronze.rejects": ["file", "line", "reason", "day"],
    "silver.events": ["event_id", "user_id", "item_id", "event", "ts", "value", "day", "landed_day"],
    "silver.items": ["item_id", "text", "content_hash", "file", "line", "day"],
}


def content(lake: Lake) -> dict[str, str]:
    """A hash of the sorted rows of each table."""
    rows = {name: sorted(map(repr, lake.arrow(name, columns).to_pylist())) for name, columns in TABLES.items()}
    return {name: hashlib.sha256("\n".join(found).encode()).hexdigest() for name, found in rows.items()}


def kill_at(step: str, lake: Lake) -> None:
    """Start ingest as its own process and kill it and its JVM at the step that it announces."""
    command = [sys.executable, "-m", "jobs.ingest", "--data", str(DATA / "online_retail")]
    command += ["--day", str(LAST), "--since", str(FIRST)]
    env = {**os.environ, "LAKE": lake.root, "PYTHONUNBUFFERED": "1"}
    running = subprocess.Popen(
        command, env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
    )
    assert running.stderr is not None
    reached = any(step in line for line in running.stderr)
    os.killpg(running.pid, signal.SIGKILL)
    running.stderr.close()
    assert reached
    assert running.wait() == -signal.SIGKILL


@pytest.mark.parametrize("step", ["keeping each event", "checking the tables"])
def test_an_ingest_that_was_killed_and_runs_again_ends_in_the_tables_of_an_undisturbed_one(
    lake: Lake, settings: Settings, tmp_path: Path, step: str
) -> None:
    ingest.run(lake, settings, LAST, data=DATA / "online_retail", since=FIRST)
    killed = Lake(tmp_path / "killed")
    killed.create()
    kill_at(step, killed)
    ingest.run(killed, settings, LAST, data=DATA / "online_retail", since=FIRST)
    assert content(killed) == content(lake)
