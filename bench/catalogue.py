"""Seconds and memory of the job `quantize` as the catalogue grows.

    make bench B=catalogue ARGS="[--items 100000 1000000] [--dim 384] [--json FILE]"

Made-up vectors: unit Gaussians around 5,000 centres, also Gaussian, then cut to unit length. On the first day the job
fits its codebook on nine tenths of the items and gives them IDs; on the second it gives the last tenth theirs, without
a refit. `mib`: memory that the job adds to what was held before, `own`: without pages of files. Asserts nothing.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from time import perf_counter

import numpy as np
import psutil
import pyarrow as pa
from common import Peak, machine
from deltalake import write_deltalake
from rich.console import Console
from rich.table import Table

from jobs import quantize
from jobs.encoders.tuned_encoders import base_encoder
from jobs.encoders.vectors import vectors_column
from jobs.lake import Lake
from jobs.lake.contracts import contracts
from jobs.settings.tree import load_settings

Row = dict[str, int | float]
FIRST = date(2026, 1, 1)
CENTRES, AT_ONCE = 5000, 50_000


def put(lake: Lake, encoder: str, numbers: range, dim: int, day: date) -> None:
    """Append the items of these numbers and their vectors."""
    for start in range(numbers.start, numbers.stop, AT_ONCE):
        some = range(start, min(start + AT_ONCE, numbers.stop))
        names = [f"i{number:09}" for number in some]
        columns = {"item_id": names, "text": names, "content_hash": names, "file": "none", "line": 1, "day": day}
        append(lake, "silver.items", len(names), columns)
        vectors = vectors_column(np.concatenate(list(drawn(some, dim))))
        append(lake, "gold.item_embeddings", len(names), columns | {"encoder_version": encoder, "vector": vectors})


def append(lake: Lake, table: str, count: int, columns: dict[str, object]) -> None:
    schema = contracts()[table].arrow
    given = [columns.get(name) for name in schema.names]
    arrays = [
        pa.array(value if isinstance(value, list | pa.Array) else [value] * count, field.type)
        for value, field in zip(given, schema, strict=True)
    ]
    write_deltalake(lake.path(table), pa.table(arrays, schema=schema), mode="append")


def drawn(numbers: range, dim: int) -> Iterator[np.ndarray]:
    centres = np.random.default_rng(0).normal(size=(CENTRES, dim)).astype(np.float32)
    rng = np.random.default_rng(numbers.start + 1)
    for first in range(0, len(numbers), 10_000):
        count = min(10_000, len(numbers) - first)
        rows = centres[rng.integers(CENTRES, size=count)] + rng.standard_normal((count, dim), np.float32)
        yield rows / np.linalg.norm(rows, axis=1, keepdims=True)


def measured(items: int, dim: int) -> Row:
    settings = load_settings()
    never = {"max_new_collision": 1.0, "max_error_ratio": 1e9}  # a refit would be the first day once more
    settings = settings.model_copy(update={"quantizer": settings.quantizer.model_copy(update=never)})
    encoder = base_encoder(settings).version
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(folder)
        lake.create()
        row: Row = {"items": items, "vectors_mib": round(items * dim * 4 / 2**20)}
        days = {"fit": range(items * 9 // 10), "next_day": range(items * 9 // 10, items)}
        for number, (what, some) in enumerate(days.items()):
            day = FIRST + timedelta(number)
            put(lake, encoder, some, dim, day)
            before = psutil.Process().memory_info()
            with Peak(os.getpid()) as peak:
                started = perf_counter()
                quantize.run(lake, settings, day)
                seconds = perf_counter() - started
            row |= {
                f"{what}_seconds": round(seconds, 1), f"{what}_us_an_item": round(1e6 * seconds / some.stop, 1),
                f"{what}_own_mib": round(peak.own_mib - (before.rss - before.shared) / 2**20),
                f"{what}_mib": round(peak.mib - before.rss / 2**20),
            }  # fmt: skip
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--json", type=Path)
    flags = parser.parse_args()
    rows = []
    for items in flags.items:
        rows.append(measured(items, flags.dim))
        print(rows[-1], file=sys.stderr, flush=True)
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=1))
    table = Table(title=f"{flags.dim} dimensions; {machine('torch')}")
    for column in rows[0]:
        table.add_column(column.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*(f"{value:,}" for value in row.values()))
    Console(width=180).print(table)


if __name__ == "__main__":
    main()
