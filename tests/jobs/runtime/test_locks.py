"""Waiting for another run of the same job has a limit and says who is in the way."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs.lake import Lake, UserError
from jobs.runtime.locks import lock_job

HOLD_LOCK = """
import sys, time
from jobs.runtime.locks import lock_job
with lock_job(sys.argv[1], "ingest"):
    print("locked", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def start_holder(root: str, seconds: float) -> subprocess.Popen[str]:
    """Start another process that holds the lock of ingest."""
    command = [sys.executable, "-c", HOLD_LOCK, root, str(seconds)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert holder.stdout
    assert holder.stdout.readline() == "locked\n"
    return holder


def test_a_wait_for_a_lock_ends_with_who_holds_it_and_since_when(tmp_path: Path) -> None:
    holder = start_holder(str(tmp_path), 60)
    try:
        with pytest.raises(UserError) as raised, lock_job(str(tmp_path), "ingest", limit=0.6):
            pass
    finally:
        holder.kill()
        holder.communicate()
    message = str(raised.value)
    assert f"another run of ingest on {tmp_path} did not end within 0.01 minutes" in message
    assert re.search(rf"\(process {holder.pid} on \S+ since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC\)", message)


def test_a_wait_goes_on_as_soon_as_the_holder_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    holder = start_holder(str(tmp_path), 1)
    with lock_job(str(tmp_path), "ingest", limit=60):
        assert f"waiting for another run of ingest on {tmp_path}: process {holder.pid}" in capsys.readouterr().err
        assert f"process {os.getpid()}" in (tmp_path / "locks/ingest").read_text()
    holder.communicate()


def test_runs_of_other_jobs_and_of_other_lakes_do_not_wait(tmp_path: Path) -> None:
    started = time.monotonic()
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    with lock_job(a, "ingest", 60), lock_job(a, "embed", 60), lock_job(b, "ingest", 60):
        assert time.monotonic() - started < 30


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    holder = start_holder(str(tmp_path), 60)
    holder.kill()
    holder.communicate()
    with lock_job(str(tmp_path), "ingest", limit=0.6):
        pass


def test_a_lake_in_an_object_store_has_no_lock(lake: Lake) -> None:
    with lock_job("s3://bucket/lake", "ingest"):
        pass
