"""Write simulated days as a landing folder. The same arguments give the same bytes."""

import gzip
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.simulation.lines import build_event_lines, build_event_table, build_item_row
from models.simulator import Day, simulate
from models.simulator.rows import FATES, MALFORMED

Format = Literal["jsonl", "parquet"]
ROWS_AT_ONCE = 200_000


def write_landing(
    out: Path, *, days: list[date], items: int, users: int, events_per_day: int, new_items_per_day: int,
    seed: int, faults: float = 0.002, format: Format = "jsonl",  # noqa: A002 (the name of the command's flag)
) -> list[dict[str, int | str]]:  # fmt: skip
    """Simulate the days and write <out>/<day>/events, items and _SUCCESS, and <out>/_truth.json.

    The arguments after `out` and before `format` are those of `models.simulator.simulate`.

    returns  for each day how many lines its events file holds, in all and of each fate
    """
    summary: list[dict[str, int | str]] = []
    truth = {}
    started = time.perf_counter()
    for day in simulate(
        days=days, items=items, users=users, events_per_day=events_per_day,
        new_items_per_day=new_items_per_day, seed=seed, faults=faults,
    ):  # fmt: skip
        folder = out / day.day.isoformat()
        folder.mkdir(parents=True, exist_ok=True)
        if format == "parquet":
            day.events = day.events.take(day.events.fate != MALFORMED)  # Parquet cannot hold broken lines
        _write_items(folder, day, format)
        _write_events(folder, day, format)
        (folder / "_SUCCESS").touch()  # says that the day is complete
        truth[day.day.isoformat()] = asdict(day.truth)
        summary.append(_count_fates(day))
        seconds = time.perf_counter() - started
        print(f"{day.day}  {len(day.events):>9,} lines  {seconds:6.1f} s", file=sys.stderr)
    with open_atomically(out / "_truth.json") as file:
        file.write(json.dumps(truth, indent=1).encode() + b"\n")
    return summary


def _write_events(folder: Path, day: Day, file_format: Format) -> None:
    starts = range(0, len(day.events), ROWS_AT_ONCE)
    chunks = (day.events.take(slice(start, start + ROWS_AT_ONCE)) for start in starts)
    if file_format == "jsonl":
        with open_atomically(folder / "events.jsonl.gz") as file, _open_gzip(file) as packed:
            for rows in chunks:
                packed.write(build_event_lines(rows, day.prices))
        return
    schema = build_event_table(day.events.take(slice(0, 0)), day.prices).schema
    with (
        open_atomically(folder / "events.parquet") as file,
        pq.ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        for rows in chunks:
            writer.write_table(build_event_table(rows, day.prices))


def _write_items(folder: Path, day: Day, file_format: Format) -> None:
    numbers_and_texts = zip(day.item_numbers.tolist(), day.items, strict=True)
    rows = [build_item_row(number, text, day.day) for number, text in numbers_and_texts]
    if file_format == "jsonl":
        with open_atomically(folder / "items.jsonl.gz") as file, _open_gzip(file) as packed:
            packed.write("".join(json.dumps(row) + "\n" for row in rows).encode())
        return
    string = pa.string()
    attributes = pa.struct([("brand", string), ("material", string), ("colour", string)])
    columns = {"item_id": string, "title": string, "description": string, "category": pa.list_(string)}
    schema = pa.schema({**columns, "attributes": attributes, "price": pa.float64(), "updated_at": string})
    with open_atomically(folder / "items.parquet") as file:
        pq.write_table(pa.Table.from_pylist(rows, schema), file, compression="zstd")


def _count_fates(day: Day) -> dict[str, int | str]:
    counts = np.bincount(day.events.fate, minlength=len(FATES)).tolist()
    fates = Counter(dict(zip(FATES, counts, strict=True)))
    return {"day": day.day.isoformat(), "items": len(day.items), "lines": len(day.events), **fates}


@contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open a file that appears under its name only once it is complete.

    raises  OSError naming the file if it cannot be written
    """
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        with unfinished.open("wb") as file:
            yield file
        os.replace(unfinished, path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise OSError(f"cannot write {path}: {error.strerror}; make room or choose another --out") from error


def _open_gzip(file: BinaryIO) -> gzip.GzipFile:
    # Without a name and a time in its header, the file has the same bytes each time.
    return gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=file, mtime=0)
