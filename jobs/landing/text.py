"""Lines of JSON and CSV files, read on Spark's executors."""

import csv
import io
import json
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.runtime.executors import send_with_tasks

LINE_COLUMNS = "file string, line bigint, raw string, folder_day date"
BLOCK_BYTES = 8 << 20
ROWS_AT_ONCE = 65_536
BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # some programs write it at the start of a file


def read_text_files(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Turn files (path, name, format, day) into their lines (`LINE_COLUMNS`), block by block."""
    for batch in batches:
        for file in batch.to_pylist():
            blocks = _read_csv(file["path"]) if file["format"] == "csv" else _read_json_lines(file["path"])
            for line_numbers, raw in blocks:
                columns = [
                    pa.array([file["name"]] * len(raw), pa.string()),
                    line_numbers,
                    raw,
                    pa.array([file["day"]] * len(raw), pa.date32()),
                ]
                yield pa.RecordBatch.from_arrays(columns, ["file", "line", "raw", "folder_day"])


def _read_json_lines(path: str) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Yield blocks of (line numbers, lines). Numpy finds the line ends: Python sees blocks, not lines."""
    unfinished_line, first_number = b"", 1
    with pa.input_stream(path, compression="detect") as stream:
        while True:
            block = stream.read(BLOCK_BYTES)
            data = unfinished_line + block
            if first_number == 1:
                data = data.removeprefix(BYTE_ORDER_MARK)
            if block:
                cut = data.rfind(b"\n") + 1
                data, unfinished_line = data[:cut], data[cut:]
            if data:
                ends = np.flatnonzero(np.frombuffer(data, np.uint8) == 10) + 1
                if not len(ends) or ends[-1] != len(data):
                    ends = np.append(ends, len(data))
                offsets = np.concatenate([[0], ends]).astype(np.int32)
                lines = pa.BinaryArray.from_buffers(
                    pa.binary(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(data)]
                )
                numbers = pa.array(np.arange(first_number, first_number + len(ends)))
                first_number += len(ends)
                text = pc.utf8_trim_whitespace(_decode(lines))
                is_filled = pc.not_equal(text, "")
                yield numbers.filter(is_filled), text.filter(is_filled)
            if not block:
                return


def _decode(lines: pa.BinaryArray) -> pa.StringArray:
    try:
        return lines.cast(pa.string())
    except pa.ArrowInvalid:  # a line is not UTF-8: keep what can be read
        return pa.array([line.decode("utf-8", "replace") for line in lines.to_pylist()])


def _read_csv(path: str) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Yield blocks of (line numbers, rows as JSON without their empty fields)."""
    with pa.input_stream(path, compression="detect") as stream:
        csv.field_size_limit(1 << 30)
        reader = csv.DictReader(io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline=""))
        numbers, rows = [], []
        for row in reader:
            numbers.append(reader.line_num)
            fields = json.dumps({key: value for key, value in row.items() if key and value})
            rows.append(f"more fields than the header: {fields} {row[None]}" if None in row else fields)
            if len(rows) == ROWS_AT_ONCE:
                yield pa.array(numbers), pa.array(rows)
                numbers, rows = [], []
        if rows:
            yield pa.array(numbers), pa.array(rows)


send_with_tasks(__name__)
