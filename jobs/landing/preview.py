"""The first lines of log files: what ingest would make of them, and what they look like before anything is assumed."""

import csv
import json
from dataclasses import dataclass
from datetime import date
from typing import Any

from jobs.lake.file_system import comes_from_store
from jobs.landing.csv_rows import DELIMITERS
from jobs.landing.files import ENDING, FORMATS, LandingFile
from jobs.landing.folder import LandingFolder
from jobs.landing.lines import describe_reading, split_file
from jobs.landing.parquet import read_parquet_blocks
from jobs.landing.parse import REFUSED, read_files
from jobs.landing.settings import Landing
from jobs.landing.text import MAX_LINE_BYTES, BoundedInput, Refusal

LINES = 2_000
HEAD_BYTES = 1 << 20
HEAD_ROWS = 200
LONG_AGO = date(1971, 1, 1)


@dataclass(frozen=True)
class Preview:
    """What ingest would make of the first lines of a file.

    rows     as in bronze.raw_<kind>
    columns  the names in the lines, in their order
    refusal  why ingest would refuse the file; empty if it would not
    """

    file: LandingFile
    rows: list[dict[str, Any]]
    columns: list[str]
    refusal: str


@dataclass(frozen=True)
class Head:
    """The start of a file as it seems to be written."""

    name: str
    format: str  # jsonl, csv or parquet; empty if the file is
    rows: list[dict[str, Any]]
    encoding: str = "utf-8"
    delimiter: str = ","
    has_backslashes: bool = False  # before quotes

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def values(self, column: str) -> list[str]:
        return [str(row[column]) for row in self.rows if row.get(column) not in (None, "")]


def preview_file(file: LandingFile, landing: Landing, first_day: date) -> Preview:
    """Read the first lines of a file as ingest would. Reads no more than its first blocks."""
    today = date.today()
    values = {"since": first_day, "day": today, "run_id": "", "first_day": LONG_AGO, "undated_day": today}
    rows: list[dict[str, Any]] = []
    batches = read_files(describe_reading(file.kind, landing, values), split_file(file)[:1])
    for batch in batches:
        rows += batch.slice(0, LINES - len(rows)).to_pylist()
        if len(rows) >= LINES:
            break
    refusals = [row["reason"].removeprefix(REFUSED) for row in rows if (row["reason"] or "").startswith(REFUSED)]
    rows = [row for row in rows if not (row["reason"] or "").startswith(REFUSED)]
    columns: dict[str, None] = {}
    for row in rows[:HEAD_ROWS]:
        columns |= dict.fromkeys(_parse_object(row["raw"]))
    return Preview(file, rows, list(columns), refusals[0] if refusals else "")


def read_head(path: LandingFolder, name: str) -> Head | None:
    """The start of a file, without columns if it is empty. None if it is no text and no Parquet, or cannot be read."""
    try:
        if name.lower().endswith(".parquet"):
            block = next(read_parquet_blocks(str(path), 0, 0, (), {}), None)
            structs = block["row"].slice(0, HEAD_ROWS).to_pylist() if block else []
            return Head(name, "parquet", [_flatten(row) for row in structs])
        with BoundedInput(str(path)) as stream:
            data = stream.read(HEAD_BYTES) or b""
    except (OSError, Refusal) as error:
        if comes_from_store(error):
            raise
        return None
    text, encoding = _decode(data)
    if "\0" in text:
        return None
    lines = text.lstrip("\ufeff").splitlines()
    if len(data) == HEAD_BYTES:
        lines = lines[:-1]
    lines = [line for line in lines[: HEAD_ROWS + 1] if line.strip()]
    if not lines:
        return Head(name, "", [])
    if lines[0].lstrip()[0] in "{[":
        return Head(name, "jsonl", [_flatten(row) for line in lines if (row := _parse_object(line))], encoding)
    ending = ENDING.search(name)
    if ending and FORMATS[ending[1].lower()] == "jsonl":
        return None
    delimiter = max(DELIMITERS, key=lambda mark: lines[0].count(mark))
    has_backslashes = any('\\"' in line.replace("\\\\", "") for line in lines)
    options: dict[str, Any] = {"escapechar": "\\", "doublequote": False} if has_backslashes else {}
    csv.field_size_limit(MAX_LINE_BYTES)
    try:
        reader = csv.DictReader(lines, delimiter=delimiter, **options)
        rows: list[dict[str, Any]] = [{key: row[key] for key in row if key} for row in reader]
        rows = rows or [dict.fromkeys(reader.fieldnames or [])]
    except csv.Error:
        return None
    return Head(name, "csv", rows, encoding, delimiter, has_backslashes)


def _decode(data: bytes) -> tuple[str, str]:
    """Decode bytes: the text, and the encoding that fits."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace"), "utf-16"
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        if error.start > len(data) - 4 and len(data) == HEAD_BYTES:  # the last letter is cut
            return data[: error.start].decode("utf-8"), "utf-8"
        return data.decode("windows-1252", "replace"), "windows-1252"


def _flatten(row: dict[str, Any]) -> dict[str, Any]:
    """The fields of a row, and those of the objects in it under their paths, such as product.id."""
    inner = {f"{name}.{key}": v for name, value in row.items() if isinstance(value, dict) for key, v in value.items()}
    return row | inner


def _parse_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
