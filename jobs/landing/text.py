"""JSON files in blocks of lines, and what JSON and CSV files share. Runs on Spark's executors, or in the job itself."""

import io
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.lake.file_system import comes_from_store, open_file_system
from jobs.runtime.executors import send_with_tasks

BLOCK_BYTES = 8 << 20
MAX_LINE_BYTES = 1 << 20  # of a JSON line, and of a CSV field
MAX_RATIO = 1_000  # bytes that a compressed byte may become, once there are more than a block of them
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # some programs write it at the start of a file
COMPRESSIONS = {"gz": "gzip", "bz2": "bz2", "zst": "zstd"}
OTHER_FORMATS = {  # how files begin that are neither JSON nor CSV: what they are, and what to do
    b"\x1f\x8b": ("compressed by gzip", "let its name end in .gz, and compress it once"),
    b"BZh": ("compressed by bzip2", "let its name end in .bz2, and compress it once"),
    b"\x28\xb5\x2f\xfd": ("compressed by zstd", "let its name end in .zst, and compress it once"),
    b"PK\x03\x04": ("a ZIP or Excel file", "land the text files that it holds"),
    b"PAR1": ("Parquet", "let its name end in .parquet"),
    b"Obj\x01": ("Avro", "convert it to Parquet"),
    b"ORC": ("ORC", "convert it to Parquet"),
}
UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # byte order marks


class Refusal(Exception):
    """A file cannot be read as it is meant, so the run must stop. The text says what to do.

    line  where, from 1; 0: the file as a whole
    """

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


class BoundedInput(io.RawIOBase):
    """The decompressed bytes of a file.

    encoding  of its text, if it is known
    raises  Refusal if there are far more of them than a log can have, or if they are neither JSON nor CSV
    """

    def __init__(self, path: str, encoding: str = "") -> None:
        compression = COMPRESSIONS.get(path.rpartition(".")[2].lower())
        store, path = open_file_system(path)
        self._stream = store.open_input_stream(path, compression=compression)
        self._encoding = encoding
        self._limit = max(BLOCK_BYTES, MAX_RATIO * store.get_file_info(path).size)
        self._bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read(len(buffer))
        except OSError as error:  # such as a file that is cut off
            if comes_from_store(error):
                raise
            reason = str(error).splitlines()[0]
            raise Refusal(f"cannot be read to its end ({reason}); land it again") from None
        if not self._bytes:
            self._check_start(data)
        buffer[: len(data)] = data
        self._bytes += len(data)
        if self._bytes > self._limit:
            raise Refusal(f"becomes more than {MAX_RATIO:,} times as large when decompressed; land it uncompressed")
        return len(data)

    def _check_start(self, data: bytes) -> None:
        for start, (name, remedy) in OTHER_FORMATS.items():
            if data.startswith(start):
                raise Refusal(f"is {name}, unlike its name says; {remedy}")
        if data[:2] in UTF_16 and is_utf8(self._encoding):
            raise Refusal('is UTF-16; say encoding = "utf-16" in landing.toml')


def is_utf8(encoding: str) -> bool:
    return encoding.lower().replace("_", "-") in ("utf-8", "utf8")


def read_json_blocks(path: str, encoding: str, keeps_tabs: bool = False) -> Iterator[dict[str, pa.Array]]:
    """Yield blocks of lines: `line` (from 1), `raw` (text) and `problem` (why a line cannot be read, else null).

    Skips blank lines. Removes blanks around a line, but not with `keeps_tabs`. NumPy finds the line ends: Python sees
    blocks, not lines. Memory does not grow with the length of a line.
    """
    unfinished_line, number = b"", 1
    with BoundedInput(path, encoding) as file:
        read: Callable[[], bytes | None] = partial(file.read, BLOCK_BYTES)
        if "\n".encode(encoding) != b"\n":  # such as UTF-16
            text = io.TextIOWrapper(io.BufferedReader(file), encoding=encoding, newline="")
            read, encoding = lambda: text.read(BLOCK_BYTES // 4).encode(), "utf-8"
        while True:
            try:
                block = read() or b""
            except UnicodeError as error:
                raise Refusal(f"cannot be read in its encoding ({error}); name the right one in landing.toml") from None
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
    if is_utf8(encoding):
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


def split_objects(raw: str) -> list[str] | None:
    """Split JSON objects that share a line, as Firehose writes them, or in a list. None if it holds anything else."""
    is_list = raw.startswith("[") and raw.endswith("]")
    body = raw[1:-1].strip() if is_list else raw
    decoder = json.JSONDecoder()  # not of the module, which travels to Spark's executors
    texts, place = [], 0
    try:
        while place < len(body):
            value, end = decoder.raw_decode(body, place)
            between = (COMMA if is_list else BLANKS).match(body, end)
            if not isinstance(value, dict) or between is None:
                return None
            texts.append(body[place:end])
            place = between.end()
    except (ValueError, RecursionError):
        return None
    return texts if (is_list and texts) or len(texts) > 1 else None


BLANKS = re.compile(r"\s*")
COMMA = re.compile(r"\s*(?:,\s*(?=\{)|$)")

send_with_tasks(__name__)
