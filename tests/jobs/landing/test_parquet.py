"""Parquet files with times of every kind, read in a Spark session of the process and through Spark Connect."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from jobs.lake import Lake
from jobs.landing.files import list_landing_files
from jobs.landing.lines import read_lines

# One process has one kind of Spark session, so Spark Connect is read in a process of its own.
CONNECT = """
import json, sys
from pathlib import Path
from jobs.lake.session import spark_session
from tests.jobs.landing.test_parquet import read_times

print(json.dumps(read_times(spark_session(sys.argv[2]), Path(sys.argv[1]))))
"""
SECONDS = int(datetime(2026, 11, 20, 10, 0, 7, tzinfo=UTC).timestamp())
MICROSECONDS = SECONDS * 1_000_000 + 123_456
TIMES = {  # file: what it holds, and the text that must be read
    "events_s.parquet": (pa.array([SECONDS], pa.timestamp("s", "UTC")), "2026-11-20 10:00:07"),
    "events_ms.parquet": (pa.array([MICROSECONDS // 1000], pa.timestamp("ms", "UTC")), "2026-11-20 10:00:07.123"),
    "events_us.parquet": (pa.array([MICROSECONDS], pa.timestamp("us", "UTC")), "2026-11-20 10:00:07.123456"),
    "events_us_no_zone.parquet": (pa.array([MICROSECONDS], pa.timestamp("us")), "2026-11-20 10:00:07.123456"),
    "events_ns.parquet": (
        pa.array([MICROSECONDS * 1000 + 999], pa.timestamp("ns", "UTC")),
        "2026-11-20 10:00:07.123456",  # cut, not rounded
    ),
    "events_ns_no_zone.parquet": (
        pa.array([MICROSECONDS * 1000 + 999], pa.timestamp("ns")),
        "2026-11-20 10:00:07.123456",
    ),
    "events_int96.parquet": (pa.array([MICROSECONDS], pa.timestamp("us")), "2026-11-20 10:00:07.123456"),
    "events_text.parquet": (pa.array(["2026-11-20T10:00:07.123456Z"]), "2026-11-20T10:00:07.123456Z"),
    "events_date_text.parquet": (pa.array(["2026-11-20"]), "2026-11-20"),
}


def read_times(spark: SparkSession, folder: Path) -> list[list[Any]]:
    """File name, line number and time of each line."""
    lines = read_lines(spark, "events", list_landing_files(folder)).select("file", "line", "fields.ts")
    return [list(row) for row in lines.collect()]


def read_times_by_connect(folder: Path, warehouse: Path) -> list[list[Any]]:
    # PySpark starts a Spark Connect server for such an address; SPARK_TESTING makes it choose a free port.
    env = {**os.environ, "SPARK_REMOTE": "local[1]", "SPARK_TESTING": "1", "SPARK_LOCAL_IP": "127.0.0.1"}
    command = [sys.executable, "-c", CONNECT, str(folder), str(warehouse)]
    root = Path(__file__).parents[3]
    reader = subprocess.run(command, env=env, cwd=root, capture_output=True, text=True, check=False)
    assert reader.returncode == 0, reader.stderr[-3000:]
    return list(json.loads(reader.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A landing folder with the files of `TIMES`, one event each."""
    folder = tmp_path_factory.mktemp("landing")
    for name, (ts, _) in TIMES.items():
        event = {"event_id": [name], "user_id": ["u"], "item_id": ["i"], "event": ["click"], "ts": ts}
        pq.write_table(pa.table(event), folder / name, use_deprecated_int96_timestamps="int96" in name)
    return folder


@pytest.mark.parametrize("session", ["classic", "connect"])
def test_every_kind_of_time_keeps_its_value(folder: Path, lake: Lake, tmp_path: Path, session: str) -> None:
    rows = read_times(lake.spark, folder) if session == "classic" else read_times_by_connect(folder, tmp_path)
    assert sorted(rows) == sorted([name, 1, text] for name, (_, text) in TIMES.items())
