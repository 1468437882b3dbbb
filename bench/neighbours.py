"""Comparing all pairs of items, or only items of near clusters: seconds, memory, and how many neighbours are missed.

    make bench B=neighbours ARGS="--data <amazon_beauty> [--items 100000 1000000] [--json FILE]"

The first row has the items of the log, with MiniLM vectors of their texts. The other rows have made-up items: each
vector is a random mean of the vectors of two items of the log.

    exact        seconds for all pairs. Measured for 2,000 random items, and scaled to all
    approximate  seconds of `find_neighbours` as for large catalogues, with the building of its index
    peak GiB     most memory of the process while it did that, with the vectors
    recall@50    share of the 50 nearest items among the 50 that were found, for these items
"""

import json
import os
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from common import PeakMemory, build_parser, describe_machine
from generate_log import Events
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from models.neighbours import find_neighbours

COUNT, SAMPLE = 50, 2000  # neighbours, and random items whose neighbours are compared
ITEMS_AT_ONCE = 64
Row = dict[str, Any]


def measure(vectors: torch.Tensor) -> Row:
    chosen = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(0))[:SAMPLE]
    parts, started = torch.split(vectors[chosen], ITEMS_AT_ONCE), perf_counter()
    nearest = torch.cat([(part @ vectors.T).topk(COUNT + 1, dim=1).indices for part in parts]).numpy()
    exact_seconds = (perf_counter() - started) * len(vectors) / len(chosen)
    with PeakMemory(os.getpid()) as peak:
        started = perf_counter()
        approximate = find_neighbours(vectors, COUNT, exact_up_to=0)[chosen]
        seconds = perf_counter() - started
    others = [row[row != item][:COUNT] for item, row in zip(chosen.numpy(), nearest, strict=True)]
    hits = [len(np.intersect1d(*pair)) for pair in zip(others, approximate, strict=True)]
    return {
        "items": len(vectors),
        "exact_seconds": round(exact_seconds, 1),
        "approximate_seconds": round(seconds, 1),
        "peak_gib": round(peak.mib / 1024, 1),
        "recall_at_50": float(np.mean(hits)) / COUNT,
    }


def mix(vectors: NDArray[np.float32], n_items: int) -> torch.Tensor:
    """Unit vectors [items, dim] of made-up items, each between two of the given items."""
    draw, mixed = np.random.default_rng(0), torch.empty(n_items, vectors.shape[1])
    for start in range(0, n_items, 1 << 16):
        part = mixed[start : start + (1 << 16)]
        first, second = (torch.from_numpy(vectors[draw.integers(0, len(vectors), len(part))]) for _ in range(2))
        share = torch.from_numpy(draw.random((len(part), 1), np.float32))
        part[:] = torch.nn.functional.normalize(share * first + (1 - share) * second)
    return mixed


def main() -> None:
    parser = build_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="landing folder")
    parser.add_argument("--items", type=int, nargs="*", default=[100_000, 1_000_000])
    flags = parser.parse_args()
    try:
        vectors = Events.read(flags.data).arrange("leave_one_out", "raw", 0).known.catalogue.vectors
    except ValueError as error:
        sys.exit(f"neighbours: {error}")
    vectors = vectors[vectors.any(axis=1)]
    rows: list[Row] = []
    for n_items in (0, *flags.items):
        rows.append(measure(mix(vectors, n_items) if n_items else torch.from_numpy(vectors)))
        print(rows[-1], file=sys.stderr, flush=True)
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=1))
    table = Table(title=describe_machine("torch"))
    for name in ("items", "exact", "approximate", "peak GiB", "recall@50"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            f"{row['items']:,}", f"{row['exact_seconds']:,.1f} s", f"{row['approximate_seconds']:,.1f} s",
            str(row["peak_gib"]), f"{row['recall_at_50']:.3f}",
        )  # fmt: skip
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
