"""Write days of simulated logs as a landing folder.

    python -m jobs.simulate --day 2026-11-20 --days 10 --out landing

--day is the last of the --days days. Writes <out>/<day>/events.jsonl.gz and items.jsonl.gz (or .parquet) and
<out>/truth.json: the best AUC that any model could reach on each day. The same flags give the same bytes.
Writes no table, so that it needs neither a lake nor a profile.
"""

import argparse
import gzip
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.simulation.lines import item_line, lines, table
from models.simulator import Day, simulate
from models.simulator.rows import FATES, MALFORMED

Format = Literal["jsonl", "parquet"]
ROWS_AT_ONCE = 200_000


def write_landing(
    out: Path, *, days: list[date], items: int, users: int, events_per_day: int, new_items_per_day: int,
    seed: int, faults: float = 0.002, format: Format = "jsonl",  # noqa: A002 (as the flag is called)
) -> list[dict[str, int | str]]:  # fmt: skip
    """Simulate and write; returns for each day how many lines of each fate its file holds."""
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
        truth[day.day.isoformat()] = asdict(day.truth)
        summary.append(_count(day))
        seconds = time.perf_counter() - started
        print(f"{day.day}  {len(day.events):>9,} lines  {seconds:6.1f} s", file=sys.stderr)
    with whole(out / "truth.json") as file:
        file.write(json.dumps(truth, indent=1).encode() + b"\n")
    return summary


def _write_events(folder: Path, day: Day, file_format: Format) -> None:
    chunks = (day.events.take(slice(start, start + ROWS_AT_ONCE)) for start in range(0, len(day.events), ROWS_AT_ONCE))
    if file_format == "jsonl":
        with whole(folder / "events.jsonl.gz") as file, _gzip(file) as packed:
            for rows in chunks:
                packed.write(lines(rows, day.prices))
        return
    schema = table(day.events.take(slice(0, 0)), day.prices).schema
    with (
        whole(folder / "events.parquet") as file,
        pq.ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        for rows in chunks:
            writer.write_table(table(rows, day.prices))


def _write_items(folder: Path, day: Day, file_format: Format) -> None:
    rows = [item_line(n, text, day.day) for n, text in zip(day.item_numbers.tolist(), day.items, strict=True)]
    if file_format == "jsonl":
        with whole(folder / "items.jsonl.gz") as file, _gzip(file) as packed:
            packed.write("".join(json.dumps(row) + "\n" for row in rows).encode())
        return
    text = pa.string()
    attributes = pa.struct([("brand", text), ("material", text), ("colour", text)])
    names = {"item_id": text, "title": text, "description": text, "category": pa.list_(text)}
    schema = pa.schema({**names, "attributes": attributes, "price": pa.float64(), "updated_at": text})
    with whole(folder / "items.parquet") as file:
        pq.write_table(pa.Table.from_pylist(rows, schema), file, compression="zstd")


def _count(day: Day) -> dict[str, int | str]:
    fates = Counter(dict(zip(FATES, np.bincount(day.events.fate, minlength=len(FATES)).tolist(), strict=True)))
    return {"day": day.day.isoformat(), "items": len(day.items), "lines": len(day.events), **fates}


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name only once it is complete."""
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        with unfinished.open("wb") as file:
            yield file
        os.replace(unfinished, path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise OSError(f"cannot write {path}: {error.strerror}; make room or choose another --out") from error


def _gzip(file: BinaryIO) -> gzip.GzipFile:
    return gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=file, mtime=0)  # no name, no time: same bytes


def main() -> int:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--day", type=date.fromisoformat, required=True, help="the last day")
    parser.add_argument("--days", type=int, default=10)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--items", type=int, default=2_000, help="on the first day")
    parser.add_argument("--users", type=int, default=600)
    parser.add_argument("--events-per-day", type=int, default=12_000)
    parser.add_argument("--new-items-per-day", type=int, default=20)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--format", choices=["jsonl", "parquet"], default="jsonl")
    flags = vars(parser.parse_args())
    last, count = flags.pop("day"), flags.pop("days")
    started = time.perf_counter()
    try:
        summary = write_landing(days=[last - timedelta(days=n) for n in reversed(range(count))], **flags)
    except (ValueError, OSError) as error:
        print(f"simulate: {error}", file=sys.stderr)
        return 1
    totals: Counter[str] = Counter()
    for row in summary:
        totals.update({name: count for name, count in row.items() if isinstance(count, int)})
    print(json.dumps({"days": len(summary), **totals, "seconds": round(time.perf_counter() - started, 2)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
