"""CSV files in blocks of rows. Runs on Spark's executors, or in the job itself."""

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from jobs.landing.text import BLOCK_BYTES, MAX_LINE_BYTES, BoundedInput, Refusal, is_utf8
from jobs.runtime.executors import send_with_tasks

ROWS_AT_ONCE = 65_536
DELIMITERS = ",;\t|"
NEEDED = {"events": ("item_id", "event", "ts"), "items": ("item_id",)}


def read_csv_blocks(path: str, kind: str, dialect: dict[str, Any]) -> Iterator[dict[str, pa.Array]]:
    """Yield blocks of rows like `read_json_blocks`. `raw` is a row as JSON, without the fields that are null.

    raises  Refusal if the header lacks a needed column, or if quotes or the encoding show that rows were misread
    """
    csv.field_size_limit(MAX_LINE_BYTES)
    with BoundedInput(path, dialect["encoding"]) as stream:
        encoding = "utf-8-sig" if is_utf8(dialect["encoding"]) else dialect["encoding"]
        text = io.TextIOWrapper(io.BufferedReader(stream, 1 << 20), encoding=encoding, newline="")
        block, lines = _CsvBlock(), BoundedLines(text)
        try:
            lines.begin()
            if not lines.first:
                return
            delimiter = dialect["delimiter"] or _choose_delimiter(lines.first, kind, dialect)
            options: dict[str, Any] = {"delimiter": delimiter, "strict": True}
            if dialect["escape"]:
                options |= {"escapechar": dialect["escape"], "doublequote": False}
            reader = csv.reader(lines, **options)
            header = _read_header(next(reader), kind, dialect)
            nulls = frozenset(dialect["null"])
            lines.begin_row()
            for fields in reader:
                if fields:
                    raw, problem = _build_row(header, fields, nulls, bool(dialect["escape"]))
                    block.add(reader.line_num, raw, problem)
                lines.begin_row()
                if block.is_full():
                    yield block.build()
                    block = _CsvBlock()
        except UnicodeError:
            raise Refusal(
                f'is not {dialect["encoding"]}; say what it is, such as encoding = "windows-1252", in landing.toml'
            ) from None
        except csv.Error as error:
            raise _explain(error, lines.row_start, dialect) from None
        if block.numbers:
            yield block.build()


class BoundedLines:
    """The lines of a CSV file, one after the other. Memory does not grow with a line or row that has no end.

    first      the first line; empty if the file is
    row_start  number of the line on which the row begins that is being read, from 1
    raises     Refusal if a row is longer than a block
    """

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._text = text
        self.row_start = 1
        self._number = self._row_length = 0
        self.first = self._next_line = ""

    def begin(self) -> None:
        """Read the first line."""
        self.first = self._next_line = self._text.readline(BLOCK_BYTES)

    def begin_row(self) -> None:
        self.row_start, self._row_length = self._number + 1, 0

    def __iter__(self) -> Iterator[str]:
        while line := self._next_line:
            self._number += 1
            self._row_length += len(line)
            if self._row_length >= BLOCK_BYTES:
                raise Refusal(f"begins a row of more than {BLOCK_BYTES:,} characters; close its quotes", self.row_start)
            yield line
            self._next_line = self._text.readline(BLOCK_BYTES)


@dataclass
class _CsvBlock:
    """Rows of a CSV file, until there are enough for a block."""

    numbers: list[int] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    problems: list[str | None] = field(default_factory=list)
    length: int = 0

    def add(self, number: int, raw: str, problem: str | None) -> None:
        self.numbers.append(number)
        self.rows.append(raw)
        self.problems.append(problem)
        self.length += len(raw)

    def is_full(self) -> bool:
        return len(self.rows) == ROWS_AT_ONCE or self.length >= BLOCK_BYTES

    def build(self) -> dict[str, pa.Array]:
        return {
            "line": pa.array(self.numbers), "raw": pa.array(self.rows), "problem": pa.array(self.problems, pa.string())
        }  # fmt: skip


def _choose_delimiter(first_line: str, kind: str, dialect: dict[str, Any]) -> str:
    """The delimiter that separates the most of the needed columns; of several, the most frequent; else a comma."""
    needed = {name.lower() for name in _list_needed(kind, dialect).values()}
    unquoted = re.sub(r'"[^"]*"?', "", first_line)

    def rank(delimiter: str) -> tuple[int, int]:
        names = {name.strip().strip('"').lower() for name in first_line.split(delimiter)}
        return len(needed & names), unquoted.count(delimiter)

    return max(DELIMITERS, key=rank)


def _list_needed(kind: str, dialect: dict[str, Any]) -> dict[str, str]:
    """The columns that a file must have: field -> column."""
    return {field: dialect["columns"].get(field, field) for field in NEEDED[kind] if field not in dialect["fixed"]}


def _read_header(fields: list[str], kind: str, dialect: dict[str, Any]) -> list[str]:
    names = [name.strip() for name in fields]
    lower = [name.lower() for name in names if name]
    needed = _list_needed(kind, dialect)
    if missing := {field: column for field, column in needed.items() if column.lower() not in lower}:
        settings = " and ".join(f'{field} = "<column>"' for field in missing)
        other = ", or give the delimiter" if len(names) == 1 else ""
        raise Refusal(
            f"has no column {', '.join(missing.values())}: its first line names {', '.join(names[:20]) or 'nothing'}."
            f" Below [{kind}.columns] in landing.toml, write {settings}{other}",
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
    if [name.strip("\ufeff \t") for name in fields] == header:
        return raw, "the header again"
    if not escapes and '\\\\\\"' in raw:  # the row holds a backslash and a quote
        raise csv.Error("a backslash before a quote")
    return raw, None


def _explain(error: csv.Error, line: int, dialect: dict[str, Any]) -> Refusal:
    text = str(error)
    if "field larger" in text or "end of data" in text:
        return Refusal("has a quote that opens a field and is never closed; write a quote in a field twice", line)
    escape = "" if dialect["escape"] else ', or escape = "\\\\" in landing.toml if a backslash stands before it'
    return Refusal(f"has a quote inside a field ({text}): write it twice{escape}", line)


send_with_tasks(__name__)
