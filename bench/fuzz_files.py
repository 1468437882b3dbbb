"""Small landing files, each damaged or written in an odd way, for the bench `fuzz_landing`."""

import csv
import gzip
import io
import json
import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fuzz_changes import BYTES, CSV_TEXTS, ENCODINGS, GZIPS, JSON_TEXTS, ROWS, TEXTS, Change, Row
from fuzz_types import change_types

DAY = date(2026, 11, 20)
STEPS = ("rows", "types", "text", "text", "encoding", "gzip", "bytes", "ending")
FORMATS = ("jsonl", "jsonl.gz", "csv", "csv.gz", "parquet")


@dataclass(frozen=True)
class FuzzFile:
    """A file that was written.

    changes  names of what was done to it
    """

    name: str  # inside the landing folder
    kind: str  # events or items
    format: str  # one of FORMATS
    changes: tuple[str, ...]


def write_file(folder: Path, number: int, seed: int) -> FuzzFile:
    """Write the file of a number. The same number and seed give the same file."""
    rng = random.Random(f"{seed} {number}")
    kind, file_format = rng.choice(("events", "events", "items")), rng.choice(FORMATS)
    # One change, or two at once. Then one changes the rows and the other the bytes, so that both can be seen.
    steps = [rng.choice(STEPS)] if rng.random() < 0.8 else ["rows", "bytes"]
    names: list[str] = []

    def change(step: str, value: Any, changes: dict[str, Change]) -> Any:
        if step not in steps:
            return value
        names.append(rng.choice(list(changes)))
        return changes[names[-1]](value, rng)

    rows = change("rows", build_rows(kind, number, rng), ROWS)
    if file_format == "parquet":
        steps = ["types"] if steps[0] in ("text", "encoding", "gzip") else steps
        table = change("types", _build_table(rows), {"types changed": change_types})
        data = _write_parquet(table, rng)
    else:
        steps = ["text"] if steps == ["types"] or (steps == ["gzip"] and file_format[-1] != "z") else steps
        text = _write_csv(rows) if file_format.startswith("csv") else _write_json(rows)
        text = change("text", text, TEXTS | (CSV_TEXTS if file_format.startswith("csv") else JSON_TEXTS))
        data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        data = change("encoding", data, ENCODINGS)
    if file_format.endswith(".gz"):
        data = change("gzip", gzip.compress(data), GZIPS)
    data = change("bytes", data, BYTES)
    ending = file_format
    if not names or (steps == ["ending"]):
        ending = rng.choice([*FORMATS, "JSON", "CSV.GZ", "jsonl.bz2", "parquet.gz", "json", "tsv", "txt"])
        names.append("wrong extension" if ending != file_format else "unchanged")
    name = f"{kind}-{number:05}.{ending}"
    if rng.random() < 0.5:
        name = f"{DAY}/{name}"
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return FuzzFile(name, kind, file_format, tuple(names))


def build_rows(kind: str, number: int, rng: random.Random) -> list[Row]:
    """Good rows with quotes, line ends, nested values and letters of several alphabets."""
    words = ("chair", 'a "Nordic" chair', "Stuhl für Gäste", "椅子", "sofa, red", "two\nlines", "🪑", "x\\y", "O'Neill")
    rows: list[Row] = []
    for n in range(rng.randint(1, 60)):
        moment = datetime.combine(DAY, datetime.min.time(), UTC) + timedelta(seconds=rng.randint(0, 86_399))
        if kind == "items":
            row: Row = {
                "item_id": f"{number}-{n}", "title": rng.choice(words), "description": rng.choice(words),
                "category": rng.choice(["Home > Chairs", "Home|Chairs", "Home"]), "price": rng.randint(1, 9999) / 100,
                "updated_at": moment.isoformat(),
            }  # fmt: skip
        else:
            row = {
                "event_id": f"{number}-{n}", "user_id": f"u{rng.randint(1, 9)}", "item_id": f"i{rng.randint(1, 99)}",
                "event": rng.choice(["impression", "click", "purchase"]), "ts": moment.isoformat(),
                "price": rng.choice([None, rng.randint(1, 9999) / 100]), "position": rng.randint(0, 50),
                "request_id": f"r{n // 5}", "seq": n, "note": rng.choice(words),
            }  # fmt: skip
        rows.append(row)
    return rows


def _write_json(rows: list[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _write_csv(rows: list[Row]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _build_table(rows: list[Row]) -> pa.Table:
    """The rows as columns: text, if a column holds values of several types."""
    columns = {name: [row.get(name) for row in rows] for name in rows[0]}
    arrays = {}
    for name, values in columns.items():
        try:
            arrays[name] = pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            arrays[name] = pa.array([None if value is None else str(value) for value in values])
    return pa.table(arrays)


def _write_parquet(table: pa.Table, rng: random.Random) -> bytes:
    out = io.BytesIO()
    options: dict[str, Any] = {
        "compression": rng.choice(["snappy", "none", "zstd", "gzip"]), "row_group_size": rng.choice([7, 1000]),
        "data_page_version": rng.choice(["1.0", "2.0"]), "write_page_checksum": rng.random() < 0.3,
        "use_dictionary": rng.random() < 0.5,
    }  # fmt: skip
    try:
        pq.write_table(table, out, **options)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # Parquet does not have this type
        text = pa.table({name: [str(value) for value in table[name].to_pylist()] for name in table.column_names})
        pq.write_table(text, out, **options)
    return out.getvalue()
