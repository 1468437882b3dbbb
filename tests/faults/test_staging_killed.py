"""A run that dies while it stages or publishes rows, and a disk that is full: readers see the rows of before."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from jobs.lake import Lake
from jobs.lake.staging import Staging
from tests.jobs.lake_rows import DAY, moment, put

STAGE = """
import os, resource, signal, sys
import pyarrow as pa
from deltalake import DeltaTable
from jobs.lake import Lake
from jobs.lake.staging import Staging
from tests.jobs.lake_rows import DAY

root, when = sys.argv[1:]
def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
lake = Lake(root)
rows = lake.arrow("silver.events").take([0] * 100_000)
rows = rows.set_column(0, "event_id", pa.array(map(str, range(len(rows)))))
with Staging(lake) as staging:
    if when == "disk full":  # a file may not grow beyond 4 kB; an error, as on a full disk, is the answer
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    staging.replace("silver.events", rows, day=DAY)
    if when == "staged":
        die()
    DeltaTable.create_write_transaction = die  # its files are in the table's folder by then
"""


def event(name: str) -> dict[str, object]:
    return {"event_id": name, "item_id": "i", "event": "click", "ts": moment(DAY), "landed_day": DAY, "day": DAY}


def staged_folders(lake: Lake) -> list[Path]:
    return [path for path in Path(lake.root, "staging").iterdir() if path.is_dir()]


@pytest.mark.parametrize("when", ["staged", "publishing", "disk full"])
def test_readers_see_the_rows_of_before_and_the_next_run_removes_what_is_left(lake: Lake, when: str) -> None:
    put(lake, "silver.events", [event("old")])
    before = lake.version("silver.events")
    process = subprocess.run(
        [sys.executable, "-c", STAGE, lake.root, when], env=os.environ, capture_output=True, text=True
    )
    if when == "disk full":
        assert process.returncode == 1
        assert "File too large" in process.stderr
    else:
        assert process.returncode == -signal.SIGKILL, process.stderr
        assert len(staged_folders(lake)) == 1
    assert lake.version("silver.events") == before
    assert lake.arrow("silver.events")["event_id"].to_pylist() == ["old"]
    with Staging(lake) as staging:
        assert len(staged_folders(lake)) == 1
        staging.replace("silver.events", lake.arrow("silver.events"), day=DAY)
    assert staged_folders(lake) == []


def test_a_run_does_not_remove_what_another_run_is_staging(lake: Lake) -> None:
    put(lake, "silver.events", [event("old")])
    with Staging(lake) as staging:
        staging.replace("silver.events", lake.arrow("silver.events"), day=DAY)
        with Staging(Lake(lake.root)):
            assert len(staged_folders(lake)) == 2
        assert len(staged_folders(lake)) == 1
    assert lake.arrow("silver.events").num_rows == 1


def test_an_error_after_the_commit_leaves_the_table_its_files(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    put(lake, "silver.events", [event("old")])
    commit = DeltaTable.create_write_transaction

    def commit_and_stop(*args: Any, **options: Any) -> None:
        commit(*args, **options)
        raise KeyboardInterrupt  # Python raises it when the native call ends

    monkeypatch.setattr(DeltaTable, "create_write_transaction", commit_and_stop)
    with pytest.raises(KeyboardInterrupt), Staging(lake) as staging:
        staging.replace("silver.events", lake.arrow("silver.events"), day=DAY)
    assert lake.arrow("silver.events")["event_id"].to_pylist() == ["old"]
