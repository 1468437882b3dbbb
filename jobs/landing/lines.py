"""The lines of log files as rows of the bronze tables, read on Spark's executors or, if they are few, in the job."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame

from jobs.lake import Lake
from jobs.lake.contracts import ROOT, contracts
from jobs.lake.file_system import open_file_system
from jobs.landing.dialect import FIELDS, Dialect
from jobs.landing.files import LandingFile
from jobs.landing.parse import read_files
from jobs.landing.reading import Reading
from jobs.landing.settings import Landing
from jobs.landing.toml import PRESETS

FILE_COLUMNS = "path string, name string, format string, day date, first_group int, groups int"
DAY = timedelta(days=1)


def describe_reading(kind: str, landing: Landing, values: dict[str, Any]) -> Reading:
    """Say how the files of a kind are to be read.

    values  of the parameters of sql/transforms/parse_<kind>.sql
    """
    dialect: Dialect = getattr(landing, kind)
    return Reading(
        kind=kind,
        fields=FIELDS[kind],
        sql=(ROOT / "transforms" / f"parse_{kind}.sql").read_text(),
        schema=contracts()[f"bronze.raw_{kind}"].arrow,
        dialect=dialect.model_dump(),
        time_zone=landing.time_zone,
        day_zone=landing.day_zone,
        values={"late_days": landing.late_days} | values,
        query=(PRESETS / f"{dialect.query}.sql").read_text() if dialect.query else "",
    )


def read_lines(
    lake: Lake, reading: Reading, files: list[LandingFile], on_spark: bool
) -> Iterator[pa.RecordBatch] | DataFrame:
    """Read every line of files of one kind into rows of bronze.raw_<kind>. Skips blank lines.

    on_spark  whether Spark's executors read, or this process as it is asked for the rows
    """
    parts = [part for file in files for part in split_file(file)]
    if not on_spark:
        return read_files(reading, parts)
    listed = lake.spark.createDataFrame([tuple(part.values()) for part in parts], FILE_COLUMNS)

    def read(batches: Any) -> Any:
        return read_files(reading, (file for batch in batches for file in batch.to_pylist()))

    columns = ", ".join(f"{c.name} {c.type}" for c in contracts()[f"bronze.raw_{reading.kind}"].columns)
    return listed.repartition(len(parts)).mapInArrow(read, columns)


def split_file(file: LandingFile) -> list[dict[str, Any]]:
    """A file as it is passed to `read_files`. A Parquet file with several row groups can be read in several parts."""
    part = {"path": file.path, "name": file.name, "format": file.format, "day": file.day, "first_group": 0, "groups": 0}
    if file.format != "parquet":
        return [part]
    try:
        store, path = open_file_system(file.path)
        groups = pq.read_metadata(path, filesystem=store).num_row_groups
    except (OSError, ValueError):  # `read_files` says what is wrong with it
        return [part]
    return [part | {"first_group": n, "groups": 1} for n in range(groups)] or [part]


def list_days(since: date, day: date) -> list[date]:
    """The days from `since` to `day`."""
    return [since + n * DAY for n in range((day - since).days + 1)]
