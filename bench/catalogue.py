"""How many seconds and how much memory does the job `quantize` need as the catalogue grows?

    make bench B=catalogue ARGS="[--items 100000 1000000] [--dim 384] [--json FILE]"

The item vectors are made up: unit Gaussians around 5,000 centres, also Gaussian, then cut to unit length. On the first
day the job fits its codebook on nine tenths of the items and gives them IDs. On the next day it gives the last tenth
their IDs, without a refit.

Columns, the last four once for the first day (fit) and once for the next day:

    items        all items of both days
    vectors mib  size of their vectors
    seconds      time of the job
    us an item   the same in microseconds for each item that the catalogue has on that day
    own mib      memory that the job adds to what the process had before, without pages of files
    mib          the same with pages of files
"""

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from datetime import date, timedelta
from time import perf_counter

import numpy as np
import psutil
import pyarrow as pa
from common import PeakMemory, build_parser, describe_machine
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
FIRST_DAY = date(2026, 1, 1)
CENTRES, ITEMS_PER_APPEND = 5000, 50_000


def append_items(lake: Lake, encoder: str, numbers: range, dim: int, day: date) -> None:
    """Append the items of these numbers and their vectors."""
    for start in range(numbers.start, numbers.stop, ITEMS_PER_APPEND):
        piece = range(start, min(start + ITEMS_PER_APPEND, numbers.stop))
        names = [f"i{number:09}" for number in piece]
        columns = {"item_id": names, "text": names, "content_hash": names, "file": "none", "line": 1, "day": day}
        append_rows(lake, "silver.items", len(names), columns)
        vectors = vectors_column(np.concatenate(list(draw_vectors(piece, dim))))
        append_rows(lake, "gold.item_embeddings", len(names), columns | {"encoder_version": encoder, "vector": vectors})


def append_rows(lake: Lake, table: str, count: int, columns: dict[str, object]) -> None:
    """Append `count` rows. A single value fills its column; columns that are not in `columns` stay empty."""
    schema = contracts()[table].arrow
    values = [columns.get(name) for name in schema.names]
    arrays = [
        pa.array(value if isinstance(value, list | pa.Array) else [value] * count, field.type)
        for value, field in zip(values, schema, strict=True)
    ]
    write_deltalake(lake.path(table), pa.table(arrays, schema=schema), mode="append")


def draw_vectors(numbers: range, dim: int) -> Iterator[np.ndarray]:
    """Draw unit vectors [items, dim] for the items of these numbers, a block at a time."""
    centres = np.random.default_rng(0).normal(size=(CENTRES, dim)).astype(np.float32)
    rng = np.random.default_rng(numbers.start + 1)
    for first in range(0, len(numbers), 10_000):
        count = min(10_000, len(numbers) - first)
        rows = centres[rng.integers(CENTRES, size=count)] + rng.standard_normal((count, dim), np.float32)
        yield rows / np.linalg.norm(rows, axis=1, keepdims=True)


def measure(items: int, dim: int) -> Row:
    """Run the job on both days, on a lake of its own."""
    settings = load_settings()
    no_refit = {"max_new_collision": 1.0, "max_error_ratio": 1e9}  # a refit would repeat the work of the first day
    settings = settings.model_copy(update={"quantizer": settings.quantizer.model_copy(update=no_refit)})
    encoder = base_encoder(settings).version
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(folder)
        lake.create()
        row: Row = {"items": items, "vectors_mib": round(items * dim * 4 / 2**20)}
        new_items = {"fit": range(items * 9 // 10), "next_day": range(items * 9 // 10, items)}
        for number, (name, numbers) in enumerate(new_items.items()):
            day = FIRST_DAY + timedelta(number)
            append_items(lake, encoder, numbers, dim, day)
            before = psutil.Process().memory_info()
            with PeakMemory(os.getpid()) as peak:
                started = perf_counter()
                quantize.run(lake, settings, day)
                seconds = perf_counter() - started
            row |= {
                f"{name}_seconds": round(seconds, 1), f"{name}_us_an_item": round(1e6 * seconds / numbers.stop, 1),
                f"{name}_own_mib": round(peak.own_mib - (before.rss - before.shared) / 2**20),
                f"{name}_mib": round(peak.mib - before.rss / 2**20),
            }  # fmt: skip
    return row


def main() -> None:
    parser = build_parser(__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--dim", type=int, default=384)
    flags = parser.parse_args()
    rows = []
    for items in flags.items:
        rows.append(measure(items, flags.dim))
        print(rows[-1], file=sys.stderr, flush=True)
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=1))
    table = Table(title=f"{flags.dim} dimensions; {describe_machine('torch')}")
    for column in rows[0]:
        table.add_column(column.replace("_", " "), justify="right")
    for row in rows:
        table.add_row(*(f"{value:,}" for value in row.values()))
    Console(width=180).print(table)


if __name__ == "__main__":
    main()
