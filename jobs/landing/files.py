"""The landing folder: which files it holds, and their lines as a Spark table.

Files are named `events*` or `items*` and end in .jsonl, .json, .csv (each also .gz) or .parquet. They lie in
the folder itself (each line is due on its own date) or in a day folder, `2026-11-20/` or
`day=2026-11-20/` (all its lines are due that day).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import reduce
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DoubleType, FloatType, LongType, MapType, StructType

from jobs.lake import UserError
from jobs.landing.text import TEXT_LINES, read_text

NAME = re.compile(r"(events|items)[^/]*?\.(jsonl|json|csv|parquet)(\.gz)?$")
DAY_FOLDER = re.compile(r"(?:day=)?(\d{4}-\d{2}-\d{2})")
FIELDS = {
    "events": "event_id user_id item_id event ts value price request_id position order_id seq",
    "items": "item_id title description category attributes image price updated_at",
}
GLOB = re.compile(r"[\\{}\[\]*?]")  # what Spark reads as a pattern in a path
TEXT = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer)
NUMBER = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_string)
TIME = (pa.types.is_timestamp, pa.types.is_string, pa.types.is_large_string)
PARQUET_TYPES = {  # column: what it may be, and that in words
    **dict.fromkeys(("event_id", "user_id", "item_id", "event", "title", "description", "image"), (TEXT, "a string")),
    **dict.fromkeys(("value", "price", "position", "seq"), (NUMBER, "a number")),
    **dict.fromkeys(("ts", "updated_at"), (TIME, "a timestamp or an ISO 8601 string")),
}


@dataclass(frozen=True)
class LandingFile:
    kind: str  # events or items
    format: str  # jsonl, csv or parquet
    path: str
    name: str  # relative to the landing folder
    day: date | None  # of its day folder


def landing_files(folder: Path) -> list[LandingFile]:
    """The files of a landing folder.

    raises  UserError if the folder is missing, holds nothing that can be landed, or a day folder is no day
    """
    if not folder.is_dir():
        raise UserError(f"landing folder {folder} does not exist; give --data (or DATA=) a folder with events.jsonl.gz")
    found = []
    for path in sorted(p for p in [*folder.glob("*"), *folder.glob("*/*")] if p.is_file() or p.is_symlink()):
        match = NAME.fullmatch(path.name)
        parent = DAY_FOLDER.fullmatch(path.parent.name) if path.parent != folder else None
        if match is None or (path.parent != folder and parent is None):
            continue
        try:
            day = date.fromisoformat(parent[1]) if parent else None
        except ValueError:
            raise UserError(f"{path.parent} is named like a day, but there is no such day; rename the folder") from None
        if not path.is_file():
            raise UserError(f"{path} is a link to a file that is not there; land the file, or remove the link")
        form = "jsonl" if match[2] == "json" else match[2]
        found.append(LandingFile(match[1], form, str(path.resolve()), str(path.relative_to(folder)), day))
    if not found:
        raise UserError(f"{folder} holds no events*.jsonl[.gz], .csv or .parquet file, nor day folders with them")
    return found


@contextmanager
def naming_the_file(files: list[LandingFile]) -> Iterator[None]:
    """Where Spark fails and only says where in its own code, name the file that it could not read, if there is one.

    raises  UserError naming the first file that cannot be read to its end, else what Spark raised
    """
    try:
        yield
    except Exception:  # whatever it was: it is raised again unless a file explains it
        _check_readable(files)
        raise


def _check_readable(files: list[LandingFile]) -> None:
    for file in files:
        try:
            if file.format == "parquet":
                for _ in pq.ParquetFile(file.path).iter_batches():
                    pass
            else:
                with pa.input_stream(file.path, compression="detect") as stream:
                    while stream.read(1 << 23):
                        pass
        except (OSError, pa.ArrowInvalid) as error:
            told = str(error).splitlines()[0]
            raise UserError(f"{file.name} cannot be read to its end ({told}); land it again") from None


@dataclass(frozen=True)
class ParquetColumns:
    """What files must share so that Spark can read them as one table."""

    types: tuple[tuple[str, str], ...]  # name and Arrow type of each column
    stored: tuple[str, ...]  # how Parquet stores each value: to Arrow, INT96 and INT64 can both be timestamp[ns]


def parquet_columns(file: LandingFile) -> ParquetColumns:
    """The columns of a Parquet file. raises UserError if a column has a type that its name does not allow."""
    try:
        metadata = pq.read_metadata(file.path)
        schema = metadata.schema.to_arrow_schema()
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{file.name} is not readable as Parquet: {str(error).splitlines()[0]}") from None
    names = [name.lower() for name in schema.names]
    if not names or len(set(names)) < len(names) or "_metadata" in names:
        raise UserError(f"{file.name}: its columns {schema.names} must differ in name, and none be called _metadata")
    for field in schema:
        allowed, words = PARQUET_TYPES.get(field.name, ((), ""))
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if allowed and not any(test(kind) for test in allowed):
            raise UserError(f"{file.name}: column {field.name} is {field.type}, expected {words}; convert it and retry")
    stored = tuple(metadata.schema.column(n).physical_type for n in range(len(metadata.schema)))
    return ParquetColumns(tuple((field.name, str(field.type)) for field in schema), stored)


def fields_type(kind: str) -> str:
    """What Spark calls the fields of a line, which are all text."""
    return f"STRUCT<{', '.join(f'{name}: STRING' for name in FIELDS[kind].split())}>"


def read_lines(spark: SparkSession, kind: str, files: list[LandingFile]) -> DataFrame:
    """Every line of the files of a kind: file, line (from 1), raw (JSON), folder_day, fields. Blank lines are no lines.

    `fields` is a struct of `FIELDS` for a line of Parquet, and null for one that is yet to be parsed.
    """
    text = [file for file in files if file.format != "parquet"]
    rows = [(file.path, file.name, file.format, file.day) for file in text]
    listed = spark.createDataFrame(rows, "path string, name string, format string, day date")
    lines = listed.repartition(max(len(text), 1), "path").mapInArrow(read_text, TEXT_LINES)
    parts = [lines.withColumn("fields", F.lit(None).cast(fields_type(kind)))]
    alike: dict[ParquetColumns, list[LandingFile]] = {}
    for file in (f for f in files if f.format == "parquet"):
        alike.setdefault(parquet_columns(file), []).append(file)
    return reduce(
        DataFrame.unionAll, parts + [_read_parquet(spark, kind, columns, group) for columns, group in alike.items()]
    )


def _read_parquet(spark: SparkSession, kind: str, columns: ParquetColumns, files: list[LandingFile]) -> DataFrame:
    """Files with the same columns, read as one; their typed columns are not parsed a second time."""
    spark.conf.set("spark.sql.legacy.parquet.nanosAsLong", "true")  # pandas writes nanoseconds, Spark has none
    frame = spark.read.parquet(*[GLOB.sub(r"\\\g<0>", file.path) for file in files])
    named = [(file.path, file.name, file.day) for file in files]
    names = F.broadcast(spark.createDataFrame(named, "path string, file string, folder_day date"))
    for name, arrow_type in columns.types:
        # Spark reads INT96 as a timestamp. Only nanoseconds in 64 bits arrive as numbers, and only they are converted.
        if arrow_type.startswith("timestamp[ns") and isinstance(frame.schema[name].dataType, LongType):
            column = f"`{name.replace('`', '``')}`"
            frame = frame.withColumn(name, F.timestamp_micros(F.expr(f"{column} div 1000")))
    given = F.struct(*[_as_text(frame, name) for name in FIELDS[kind].split()])
    raw = F.to_json(F.struct("*"), {"timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"})
    line = (F.col("_metadata.row_index") + 1).alias("line")
    address = F.replace(F.col("_metadata.file_path"), F.lit("+"), F.lit("%2B"))  # which would be decoded to a blank
    path = F.regexp_replace(F.url_decode(address), "^file:/+", "/").alias("path")
    lines = frame.select(path, line, raw.alias("raw"), given.alias("fields")).join(names, "path", "left")
    file = F.coalesce("file", F.raise_error(F.concat(F.lit("no file was listed as "), "path"))).alias("file")
    return lines.select(file, "line", "raw", "folder_day", "fields")


def _as_text(frame: DataFrame, name: str) -> Column:
    if name not in frame.columns:
        return F.lit(None).cast("string").alias(name)
    kind, column = frame.schema[name].dataType, F.col(name)
    if isinstance(kind, ArrayType | MapType | StructType):
        return F.to_json(name).alias(name)
    if isinstance(kind, DoubleType | FloatType) and name in ("position", "seq"):  # pandas writes 2.0 beside a null
        column = F.when(column == F.floor(column), F.floor(column)).otherwise(column)
    return column.cast("string").alias(name)
