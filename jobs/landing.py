"""The landing folder: which files it holds, and their lines as a Spark table.

Files are named `events*` or `items*` and end in .jsonl, .json, .csv (each also .gz) or .parquet. They lie in
the folder itself (each line is due on its own date) or in a day folder, `2026-11-20/` or
`day=2026-11-20/` (all its lines are due that day).
"""

import csv
import io
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import reduce
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark import cloudpickle
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, MapType, StructType

from jobs.lake import UserError

NAME = re.compile(r"(events|items)[^/]*?\.(jsonl|json|csv|parquet)(\.gz)?$")
DAY_FOLDER = re.compile(r"(?:day=)?(\d{4}-\d{2}-\d{2})")
TEXT_LINES = "file string, line bigint, raw string, folder_day date"
FIELDS = {  # of a line, all as text
    "events": "event_id STRING, user_id STRING, item_id STRING, event STRING, ts STRING, value STRING, price STRING,"
    " request_id STRING, position STRING, order_id STRING, seq STRING, _corrupt STRING",
    "items": "item_id STRING, title STRING, description STRING, category STRING, attributes STRING, price STRING,"
    " updated_at STRING, _corrupt STRING",
}
GLOB = re.compile(r"[\\{}\[\]*?]")  # what Spark reads as a pattern in a path
BLOCK = 8 << 20
TEXT = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer)
NUMBER = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_string)
TIME = (pa.types.is_timestamp, pa.types.is_string, pa.types.is_large_string)
PARQUET_TYPES = {  # column: what it may be, and that in words
    **dict.fromkeys(("event_id", "user_id", "item_id", "event", "title", "description"), (TEXT, "a string")),
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


def landing_files(folder: Path, last: date | None = None) -> list[LandingFile]:
    """The files of a landing folder, those of day folders after `last` left out.

    raises  UserError if the folder is missing or holds nothing that can be landed
    """
    if not folder.is_dir():
        raise UserError(f"landing folder {folder} does not exist; give --data (or DATA=) a folder with events.jsonl.gz")
    found = []
    for path in sorted(p for p in [*folder.glob("*"), *folder.glob("*/*")] if p.is_file()):
        match = NAME.fullmatch(path.name)
        parent = DAY_FOLDER.fullmatch(path.parent.name) if path.parent != folder else None
        if match is None or (path.parent != folder and parent is None):
            continue
        day = date.fromisoformat(parent[1]) if parent else None
        form = "jsonl" if match[2] == "json" else match[2]
        if last is None or day is None or day <= last:
            found.append(LandingFile(match[1], form, str(path.resolve()), str(path.relative_to(folder)), day))
    if not found and last is None:
        raise UserError(f"{folder} holds no events*.jsonl[.gz], .csv or .parquet file, nor day folders with them")
    return found


def parquet_columns(file: LandingFile) -> tuple[tuple[str, str], ...]:
    """Names and types. raises UserError if a column has a type that its name does not allow."""
    try:
        schema = pq.read_schema(file.path)
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{file.name} is not readable as Parquet: {str(error).splitlines()[0]}") from None
    for field in schema:
        allowed, words = PARQUET_TYPES.get(field.name, ((), ""))
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if allowed and not any(test(kind) for test in allowed):
            raise UserError(f"{file.name}: column {field.name} is {field.type}, expected {words}; convert it and retry")
    return tuple((field.name, str(field.type)) for field in schema)


def read_lines(spark: SparkSession, kind: str, files: list[LandingFile]) -> DataFrame:
    """Every line of the files of a kind: file, line (from 1), raw (JSON), folder_day, fields. Blank lines are no lines.

    `fields` is a struct of `FIELDS` for a line of Parquet, and null for one that is yet to be parsed.
    """
    text = [file for file in files if file.format != "parquet"]
    rows = [(file.path, file.name, file.format, file.day) for file in text]
    listed = spark.createDataFrame(rows, "path string, name string, format string, day date")
    lines = listed.repartition(max(len(text), 1), "path").mapInArrow(_read_text, TEXT_LINES)
    parts = [lines.withColumn("fields", F.lit(None).cast(f"STRUCT<{FIELDS[kind]}>"))]
    alike: dict[tuple[tuple[str, str], ...], list[LandingFile]] = {}
    for file in (f for f in files if f.format == "parquet"):
        alike.setdefault(parquet_columns(file), []).append(file)
    return reduce(DataFrame.unionAll, parts + [_read_parquet(spark, kind, group) for group in alike.values()])


def _read_parquet(spark: SparkSession, kind: str, files: list[LandingFile]) -> DataFrame:
    """Files with the same columns, read as one; their typed columns are not parsed a second time."""
    frame = spark.read.parquet(*[GLOB.sub(r"\\\g<0>", file.path) for file in files])
    named = [(file.path, file.name, file.day) for file in files]
    names = F.broadcast(spark.createDataFrame(named, "path string, file string, folder_day date"))
    given = F.struct(*[_as_text(frame, field.split()[0]) for field in FIELDS[kind].split(",")])
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
    nested = isinstance(frame.schema[name].dataType, ArrayType | MapType | StructType)
    return (F.to_json(name) if nested else F.col(name).cast("string")).alias(name)


def _read_text(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for file in batch.to_pylist():
            lines = _csv_lines(file["path"]) if file["format"] == "csv" else _json_lines(file["path"])
            for numbers, raw in lines:
                count = len(raw)
                columns = [
                    pa.array([file["name"]] * count),
                    numbers,
                    raw,
                    pa.array([file["day"]] * count, pa.date32()),
                ]
                yield pa.RecordBatch.from_arrays(columns, ["file", "line", "raw", "folder_day"])


def _json_lines(path: str) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Blocks of (line numbers, lines), cut at line ends with numpy: Python sees blocks, not lines."""
    rest, first = b"", 1
    with pa.input_stream(path, compression="detect") as stream:
        while True:
            block = stream.read(BLOCK)
            data = rest + block
            if block:
                cut = data.rfind(b"\n") + 1
                data, rest = data[:cut], data[cut:]
            if data:
                ends = np.flatnonzero(np.frombuffer(data, np.uint8) == 10) + 1
                if not len(ends) or ends[-1] != len(data):
                    ends = np.append(ends, len(data))
                offsets = np.concatenate([[0], ends]).astype(np.int32)
                raw = pa.BinaryArray.from_buffers(
                    pa.binary(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(data)]
                )
                numbers = pa.array(np.arange(first, first + len(ends)))
                first += len(ends)
                text = pc.utf8_trim_whitespace(_utf8(raw))
                full = pc.not_equal(text, "")
                yield numbers.filter(full), text.filter(full)
            if not block:
                return


def _utf8(raw: pa.BinaryArray) -> pa.StringArray:
    try:
        return raw.cast(pa.string())
    except pa.ArrowInvalid:  # a line that is no UTF-8 keeps what can be read
        return pa.array([value.decode("utf-8", "replace") for value in raw.to_pylist()])


def _csv_lines(path: str) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Blocks of (line numbers, rows as JSON with empty fields left out)."""
    with pa.input_stream(path, compression="detect") as stream:
        reader = csv.DictReader(io.TextIOWrapper(stream, encoding="utf-8", errors="replace", newline=""))
        numbers, rows = [], []
        for row in reader:
            numbers.append(reader.line_num)
            rows.append(json.dumps({key: value for key, value in row.items() if key and value}))
            if len(rows) == 65536:
                yield pa.array(numbers), pa.array(rows)
                numbers, rows = [], []
        if rows:
            yield pa.array(numbers), pa.array(rows)


# Executors need no copy of this code: it travels with the task.
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # type: ignore[no-untyped-call]
