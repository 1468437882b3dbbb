"""Parquet files with times of every kind, read through Spark Connect and in a classic session."""

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame

from jobs.lake import Lake
from jobs.landing.files import list_landing_files
from jobs.landing.lines import describe_reading, read_lines
from jobs.landing.settings import Landing

SECONDS = int(datetime(2026, 11, 20, 10, 0, 7, tzinfo=UTC).timestamp())
MICROSECONDS = SECONDS * 1_000_000 + 123_456
MIDNIGHT = int(datetime(2026, 11, 20, tzinfo=UTC).timestamp()) * 1_000_000
TIMES = {  # file: its times, and the microsecond that must be read
    "events_s.parquet": (pa.array([SECONDS], pa.timestamp("s", "UTC")), SECONDS * 1_000_000),
    "events_ms.parquet": (pa.array([MICROSECONDS // 1000], pa.timestamp("ms", "UTC")), MICROSECONDS // 1000 * 1000),
    "events_us.parquet": (pa.array([MICROSECONDS], pa.timestamp("us", "UTC")), MICROSECONDS),
    "events_us_no_zone.parquet": (pa.array([MICROSECONDS], pa.timestamp("us")), MICROSECONDS),
    "events_ns.parquet": (
        pa.array([MICROSECONDS * 1000 + 999], pa.timestamp("ns", "UTC")),
        MICROSECONDS,  # cut, not rounded
    ),
    "events_ns_no_zone.parquet": (
        pa.array([MICROSECONDS * 1000 + 999], pa.timestamp("ns")),
        MICROSECONDS,
    ),
    "events_int96.parquet": (pa.array([MICROSECONDS], pa.timestamp("us")), MICROSECONDS),
    "events_text.parquet": (pa.array(["2026-11-20T10:00:07.123456Z"]), MICROSECONDS),
    "events_date_text.parquet": (pa.array(["2026-11-20"]), MIDNIGHT),
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
@pytest.mark.parametrize("on_spark", [True, False], ids=["Spark", "in the job"])
def test_every_kind_of_time_keeps_its_value(folder: Path, lake: Lake, on_spark: bool) -> None:
    day = date(2026, 11, 20)
    reading = describe_reading("events", Landing(), {"since": day, "day": day, "run_id": "test"})
    rows = read_lines(lake, reading, list_landing_files(folder).files, on_spark)
    table = rows.toArrow() if isinstance(rows, DataFrame) else pa.Table.from_batches(rows)
    table = table.set_column(table.column_names.index("ts"), "ts", table["ts"].cast(pa.int64()))
    read = sorted((row["file"], row["line"], row["ts"]) for row in table.to_pylist())
    assert read == sorted((name, 1, microsecond) for name, (_, microsecond) in TIMES.items())
