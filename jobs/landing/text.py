"""Lines of JSON and CSV files, read on the executors."""

import csv
import io
import json
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.runtime.executors import send_with_tasks

TEXT_LINES = "file string, line bigint, raw string, folder_day date"
BLOCK = 8 << 20
BOM = b"\xef\xbb\xbf"  # which some programs put before the first line


def read_text(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Files (path, name, format, day) to their lines (`TEXT_LINES`)."""
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
            if first == 1:
                data = data.removeprefix(BOM)
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
        csv.field_size_limit(1 << 30)
        reader = csv.DictReader(io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline=""))
        numbers, rows = [], []
        for row in reader:
            numbers.append(reader.line_num)
            known = json.dumps({key: value for key, value in row.items() if key and value})
            rows.append(f"more fields than the header: {known} {row[None]}" if None in row else known)
            if len(rows) == 65536:
                yield pa.array(numbers), pa.array(rows)
                numbers, rows = [], []
        if rows:
            yield pa.array(numbers), pa.array(rows)


send_with_tasks(__name__)
