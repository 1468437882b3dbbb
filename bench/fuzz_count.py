"""Counts the lines of a landing file without the code of `jobs`, for the bench `fuzz_landing`."""

import bz2
import contextlib
import gzip
import json
import zlib
from collections import Counter
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

MAX_LINE_BYTES = 1 << 20
Lines = Counter[int]  # line number: how many rows it must become


class UnreadableError(Exception):
    """The file cannot be read to its end, so a run must refuse it."""


def count_json_lines(path: Path) -> Lines:
    """Lines of JSON that are not blank. A line that holds several objects becomes several rows."""
    lines: Lines = Counter()
    for number, line in enumerate(_decompress(path).removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if text := line.decode("utf-8", "replace").strip():
            lines[number] = _count_objects(text) if len(line) < MAX_LINE_BYTES else 1
    return lines


def count_csv_rows(path: Path) -> int:
    """Rows after the header by the rules of RFC 4180, without blank lines."""
    try:
        text = _decompress(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableError(str(error)) from None
    delimiter = max(",;\t|", key=text.replace("\r", "\n").partition("\n")[0].count)
    rows, place, is_quoted, is_filled, at_start = 0, 0, False, False, True
    while place < len(text):
        char = text[place]
        place += 1
        if is_quoted:
            if text.startswith('""', place - 1):
                place += 1
            elif char == '"':
                is_quoted = False
        elif char in "\r\n":
            rows, is_filled, at_start = rows + is_filled, False, True
        else:
            is_filled, is_quoted, at_start = True, at_start and char == '"', char == delimiter
    return max(rows + is_filled - 1, 0)


def count_parquet_rows(path: Path) -> set[int]:
    """The numbers of rows that two readers of Parquet find. They can differ if the footer is damaged."""
    counts: set[int] = set()
    with contextlib.suppress(OSError, ValueError, pa.ArrowException):
        counts.add(pq.read_metadata(path).num_rows)
    try:
        groups = "SELECT DISTINCT row_group_id, row_group_num_rows FROM parquet_metadata(?)"
        query = f"SELECT sum(row_group_num_rows) FROM ({groups})"
        counts.add(int((duckdb.execute(query, [str(path)]).fetchone() or [0])[0] or 0))
    except (duckdb.Error, UnicodeDecodeError):
        pass
    if not counts:
        raise UnreadableError("no reader can read it")
    return counts


def _decompress(path: Path) -> bytes:
    data, name = path.read_bytes(), path.name.lower()
    try:
        if name.endswith(".gz"):
            return gzip.decompress(data)
        return bz2.decompress(data) if name.endswith(".bz2") else data
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UnreadableError(str(error)) from None


def _count_objects(text: str) -> int:
    """The objects of a line, if it holds nothing but objects, one after the other or in a list; else 1."""
    try:
        values = json.loads(text)
        is_list = isinstance(values, list) and values and all(isinstance(value, dict) for value in values)
        return len(values) if is_list else 1
    except RecursionError:
        return 1
    except ValueError:
        pass
    parts, start, depth, is_quoted, is_escaped = [], 0, 0, False, False
    for place, char in enumerate(text):
        if is_quoted:
            is_quoted = is_escaped or char != '"'
            is_escaped = char == "\\" and not is_escaped
            continue
        is_quoted = char == '"'
        depth += (char in "{[") - (char in "}]")
        if depth == 0 and char in "}]":
            parts.append(text[start : place + 1])
            start = place + 1
    try:
        return len(parts) if not text[start:].strip() and all(isinstance(json.loads(p), dict) for p in parts) else 1
    except (ValueError, RecursionError):
        return 1
