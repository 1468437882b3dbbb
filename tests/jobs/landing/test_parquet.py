"""Parquet files with times of every kind, read through Spark Connect and in a classic session."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.lake import Lake
from jobs.landing.files import list_landing_files
from jobs.landing.lines import read_lines

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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A landing folder with the files of `TIMES`, one event each."""
    folder = tmp_path / "landing"
    folder.mkdir()
    for name, (ts, _) in TIMES.items():
        event = {"event_id": [name], "user_id": ["u"], "item_id": ["i"], "event": ["click"], "ts": ts}
        pq.write_table(pa.table(event), folder / name, use_deprecated_int96_timestamps="int96" in name)
    return folder


@pytest.mark.classic
def test_every_kind_of_time_keeps_its_value(folder: Path, lake: Lake) -> None:
    lines = read_lines(lake.spark, "events", list_landing_files(folder)).select("file", "line", "fields.ts")
    assert sorted(map(tuple, lines.collect())) == sorted((name, 1, text) for name, (_, text) in TIMES.items())
