"""JSON and CSV files in blocks of lines. Runs on Spark's executors, or in the job itself."""

import csv
import io
import json
import os
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.runtime.executors import send_with_tasks

BLOCK_BYTES = 8 << 20
ROWS_AT_ONCE = 65_536
MAX_LINE_BYTES = 1 << 20  # of a JSON line, and of a CSV field
MAX_RATIO = 1_000  # bytes that a compressed byte may become, once there are more than a block of them
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # some programs write it at the start of a file
DELIMITERS = ",;\t|"
NEEDED = {"events": ("item_id", "event", "ts"), "items": ("item_id",)}


class Refusal(Exception):
    """A file cannot be read as it is meant, so the run must stop. The text says what to do.

    line  where, from 1; 0: the file as a whole
    """

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


class BoundedInput(io.RawIOBase):
    """The decompressed bytes of a file. raises Refusal if there are far more of them than a log can have"""

    def __init__(self, path: str) -> None:
        self._stream = pa.input_stream(path, compression="detect")
        self._limit = max(BLOCK_BYTES, MAX_RATIO * os.path.getsize(path))
        self._bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read(len(buffer))
        except OSError as error:  # such as a file that is cut off
            reason = str(error).splitlines()[0]
            raise Refusal(f"cannot be read to its end ({reason}); land it again") from None
        buffer[: len(data)] = data
        self._bytes += len(data)
        if self._bytes > self._limit:
            raise Refusal(f"becomes more than {MAX_RATIO:,} times as large when decompressed; land it uncompressed")
        return len(data)


def read_json_blocks(path: str, encoding: str, keeps_tabs: bool = False) -> Iterator[dict[str, pa.Array]]:
    """Yield blocks of lines: `line` (from 1), `raw` (text) and `problem` (why a line cannot be read, else null).

    Skips blank lines. Removes blanks around a line, but not with `keeps_tabs`. NumPy finds the line ends: Python sees
    blocks, not lines. Memory does not grow with the length of a line.
    """
    unfinished_line, number = b"", 1
    with BoundedInput(path) as stream:
        while True:
            block = stream.read(BLOCK_BYTES) or b""
            data = unfinished_line + block
            if number == 1:
                data = data.removeprefix(BYTE_ORDER_MARK)
            if block:
                cut = data.rfind(b"\n") + 1
                data, unfinished_line = data[:cut], data[cut:]
                if len(unfinished_line) > MAX_LINE_BYTES:  # keep its start only, until its end comes
                    unfinished_line = unfinished_line[: MAX_LINE_BYTES + 1]
            if data:
                ends = np.flatnonzero(np.frombuffer(data, np.uint8) == 10) + 1
                if not len(ends) or ends[-1] != len(data):
                    ends = np.append(ends, len(data))
                yield _build_block(data, ends, number, encoding, keeps_tabs)
                number += len(ends)
            if not block:
                return


def _build_block(data: bytes, ends: Any, first_number: int, encoding: str, keeps_tabs: bool) -> dict[str, pa.Array]:
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    lines = pa.BinaryArray.from_buffers(pa.binary(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(data)])
    numbers = pa.array(np.arange(first_number, first_number + len(ends)))
    raw, is_readable = _decode(lines, encoding)
    raw = pc.utf8_trim(raw, "\r\n") if keeps_tabs else pc.utf8_trim_whitespace(raw)
    is_short = pc.less_equal(pc.binary_length(lines), MAX_LINE_BYTES)
    problem = pc.if_else(is_short, pa.scalar(None, pa.string()), f"longer than {MAX_LINE_BYTES:,} bytes")
    problem = pc.if_else(is_readable, problem, f"not {encoding}")
    raw = pc.if_else(is_short, raw, pc.utf8_slice_codeunits(raw, 0, 1000))
    is_filled = pc.not_equal(raw, "")
    columns = {"line": numbers, "raw": raw, "problem": problem}
    return {name: column.filter(is_filled) for name, column in columns.items()}


def _decode(lines: pa.BinaryArray, encoding: str) -> tuple[pa.StringArray, pa.Array]:
    """The lines as text, and whether each can be read in the encoding."""
    if encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
        try:
            return lines.cast(pa.string()), pa.array(np.ones(len(lines), bool))
        except pa.ArrowInvalid:  # a line is not UTF-8: keep what can be read, to show it
            pass
    texts, is_readable = [], []
    for line in lines.to_pylist():
        try:
            texts.append(line.decode(encoding))
            is_readable.append(True)
        except UnicodeDecodeError:
            texts.append(line.decode(encoding, "replace"))
            is_readable.append(False)
    return pa.array(texts, pa.string()), pa.array(is_readable, pa.bool_())


def read_csv_blocks(path: str, kind: str, dialect: dict[str, Any]) -> Iterator[dict[str, pa.Array]]:
    """Yield blocks of rows like `read_json_blocks`. `raw` is a row as JSON, without the fields that are null.

    raises  Refusal if the header lacks a needed column, or if quotes or the encoding show that rows were misread
    """
    csv.field_size_limit(MAX_LINE_BYTES)
    with BoundedInput(path) as stream:
        encoding = "utf-8-sig" if dialect["encoding"].lower() in ("utf-8", "utf8") else dialect["encoding"]
        text = io.TextIOWrapper(io.BufferedReader(stream, 1 << 20), encoding=encoding, newline="")
        start = 0
        numbers: list[int] = []
        rows: list[str] = []
        problems: list[str | None] = []
        try:
            first_line = text.readline(MAX_LINE_BYTES)
            if not first_line:
                return
            delimiter = dialect["delimiter"] or _choose_delimiter(first_line, kind, dialect)
            options: dict[str, Any] = {"delimiter": delimiter, "strict": True}
            if dialect["escape"]:
                options |= {"escapechar": dialect["escape"], "doublequote": False}
            header = _read_header(first_line, kind, options, dialect)
            reader = csv.reader(text, **options)
            nulls = frozenset(dialect["null"])
            for fields in reader:
                if not fields:
                    start = reader.line_num
                    continue
                raw, problem = _build_row(header, fields, nulls, bool(dialect["escape"]))
                numbers.append(reader.line_num + 1)
                rows.append(raw)
                problems.append(problem)
                start = reader.line_num
                if len(rows) == ROWS_AT_ONCE:
                    yield _build_csv_block(numbers, rows, problems)
                    numbers, rows, problems = [], [], []
        except UnicodeDecodeError:
            raise Refusal(
                f'is not {dialect["encoding"]}; say what it is, such as encoding = "windows-1252", in landing.toml'
            ) from None
        except csv.Error as error:
            raise _explain(error, start + 2, dialect) from None
        if rows:
            yield _build_csv_block(numbers, rows, problems)


def _choose_delimiter(first_line: str, kind: str, dialect: dict[str, Any]) -> str:
    """The delimiter whose columns include the needed ones, a comma if in doubt."""
    needed = {dialect["columns"].get(name, name).lower() for name in NEEDED[kind] if name not in dialect["fixed"]}
    for delimiter in DELIMITERS:
        if needed <= {name.strip().strip('"').lower() for name in first_line.split(delimiter)}:
            return delimiter
    return ","


def _read_header(first_line: str, kind: str, options: dict[str, Any], dialect: dict[str, Any]) -> list[str]:
    names = [name.strip() for name in next(csv.reader([first_line], **options), [])]
    lower = [name.lower() for name in names if name]
    needed = [dialect["columns"].get(name, name) for name in NEEDED[kind] if name not in dialect["fixed"]]
    if missing := [name for name in needed if name.lower() not in lower]:
        raise Refusal(
            f"has no column {', '.join(missing)}: its first line names {', '.join(names[:20])}. Name the columns in"
            f' landing.toml, such as [{kind}.columns] {missing[0]} = "<column>", or give the delimiter',
            line=1,
        )
    if repeated := [name for name in sorted(set(lower)) if lower.count(name) > 1]:
        raise Refusal(f"has the column {repeated[0]} twice; rename one of them", line=1)
    return names


def _build_row(header: list[str], fields: list[str], nulls: frozenset[str], escapes: bool) -> tuple[str, str | None]:
    raw = json.dumps({name: field for name, field in zip(header, fields, strict=False) if name and field not in nulls})
    if len(fields) > len(header):
        return raw[:-1] + f', "more": {json.dumps(fields[len(header) :])}}}', "more fields than the header"
    if len(fields) < len(header):
        return raw, "fewer fields than the header"
    if [field.strip() for field in fields] == header:
        return raw, "the header again"
    if not escapes and '\\\\\\"' in raw:  # the row holds a backslash and a quote
        raise csv.Error("a backslash before a quote")
    return raw, None


def _build_csv_block(numbers: list[int], rows: list[str], problems: list[str | None]) -> dict[str, pa.Array]:
    return {"line": pa.array(numbers), "raw": pa.array(rows), "problem": pa.array(problems, pa.string())}


def _explain(error: csv.Error, line: int, dialect: dict[str, Any]) -> Refusal:
    text = str(error)
    if "field larger" in text or "end of data" in text:
        return Refusal("has a quote that opens a field and is never closed; write a quote in a field twice", line)
    escape = "" if dialect["escape"] else ', or escape = "\\\\" in landing.toml if a backslash stands before it'
    return Refusal(f"has a quote inside a field ({text}): write it twice{escape}", line)


def split_objects(raw: str) -> list[str] | None:
    """Split JSON objects that share a line, as Firehose writes them, or in a list. None if it holds anything else."""
    decoder = json.JSONDecoder()
    texts, place = [], 0
    try:
        if raw.startswith("["):
            values = decoder.decode(raw)
            texts = [json.dumps(value, ensure_ascii=False) for value in values]
            return texts if values and all(isinstance(value, dict) for value in values) else None
        while place < len(raw):
            value, end = decoder.raw_decode(raw, place)
            if not isinstance(value, dict):
                return None
            texts.append(raw[place:end])
            place = BLANKS.match(raw, end).end()  # type: ignore[union-attr]  # it matches nothing, too
    except (ValueError, RecursionError):
        return None
    return texts if len(texts) > 1 else None


BLANKS = re.compile(r"\s*")

send_with_tasks(__name__)
