"""Do published semantic IDs stay the same while items arrive and leave, and what does a refit of the codebook move?

    make bench B=continuity ARGS="--data <landing folder> [--days 100] [--every 25] [--json continuity.json]"

On the first day, two thirds of the folder's items are present. Each day some leave and as many others come, in a random
order. The job `quantize` runs every day on a lake of its own, and fits its codebook again (a refit) every `--every`
days. The bench asserts that no ID moves within a codebook version, and that no two items share a unique ID.

A row is one refit of the same vectors:

    matched (the job)            starts from the old codebook; each code gets the number of the old code that it follows
    from the old one, unmatched  starts from the old codebook, but its codes keep their new numbers
    from scratch                 a new fit that knows nothing of the old codebook

Columns:

    day, items     day of the refit, and items present on that day
    moved c1       share of the surviving items whose first code changed
    moved c1c2     the same for the first two codes
    moved id       the same for the whole ID
"""

import json
import os
import sys
import tempfile
from datetime import date, timedelta
from pathlib import Path
from time import perf_counter

import numpy as np
import pyarrow as pa
import torch
from common import build_parser, describe_machine
from items import build_item_text, read_items
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from jobs import quantize
from jobs.codebooks.store import load_codebook
from jobs.encoders.location import load_embedder
from jobs.encoders.tuned_encoders import base_encoder
from jobs.encoders.vectors import vectors_column
from jobs.lake import Lake
from jobs.lake.contracts import contracts
from jobs.runtime.progress import progress
from jobs.settings.tree import Settings, load_settings
from models.encoder import embedder
from models.quantizers.matching import measure_moves
from models.quantizers.res_kmeans_fsq import ResKmeansFSQ

Row = dict[str, str | int | float]
Vectors = NDArray[np.float32]
UniqueIds = dict[tuple[str, str], str]  # (codebook version, item ID) to unique semantic ID
FIRST_DAY = date(2026, 1, 1)


def embed_items(folder: Path, settings: Settings) -> Vectors:
    texts = list(map(build_item_text, read_items(folder).values()))
    encoder = load_embedder(base_encoder(settings), settings.encoder)
    return embedder.embed(
        encoder, texts, tokens_per_batch=settings.encoder.tokens_per_batch, progress=progress("embedding", every=30)
    )


def replace_table(lake: Lake, table: str, count: int, **columns: object) -> None:
    """Replace a table by `count` rows. A single value fills its column; columns that are not named stay empty."""
    schema = contracts()[table].arrow
    lists = {
        name: value if isinstance(value, list | pa.Array) else [value] * count
        for name, value in columns.items()
    }  # fmt: skip
    arrays = [pa.array(lists.get(name, [None] * count), schema.field(name).type) for name in schema.names]
    lake.replace(table, pa.table(arrays, schema=schema))


def compare_refits(settings: Settings, old: ResKmeansFSQ, vectors: Vectors, stay: NDArray[np.int64]) -> list[Row]:
    """Fit twice without matching, and measure which of the surviving items (indices `stay` into vectors) would move."""
    q, x = settings.quantizer, torch.from_numpy(vectors)
    before = old.encode(x[stay]).numpy()
    rows: list[Row] = []
    for name, start, seed in (("from the old one, unmatched", old, q.seed), ("from scratch", None, q.seed + 1)):
        new = ResKmeansFSQ.fit(
            x,
            sizes=q.sizes,
            seed=seed,
            kmeans_iterations=q.kmeans_iterations,
            fsq_steps=q.fsq_steps,
            fsq_values=q.fsq_values,
            start=start,
        )
        rows.append({"refit": name} | measure_moves(before, new.encode(x[stay]).numpy()))
    return rows


def simulate(lake: Lake, settings: Settings, vectors: Vectors, days: int) -> list[Row]:
    """Run the job for `days` days; returns the rows of each refit."""
    order = np.random.default_rng(0).permutation(len(vectors))
    present_count = len(order) * 2 // 3
    daily_count = (len(order) - present_count) // max(days - 1, 1)
    names = [f"i{n:07}" for n in range(len(vectors))]
    encoder = base_encoder(settings).version
    replace_table(
        lake, "gold.item_embeddings", len(names), item_id=names, encoder_version=encoder, content_hash=names,
        vector=vectors_column(vectors), day=FIRST_DAY,
    )  # fmt: skip
    rows: list[Row] = []
    yesterday = np.zeros(0, np.int64)  # indices of the items that were present
    published: UniqueIds = {}
    report_progress, seconds = progress("days", every=30), []
    for number in range(days):
        day = FIRST_DAY + timedelta(number)
        today = np.sort(order[number * daily_count : number * daily_count + present_count])
        ids = [names[n] for n in today]
        replace_table(
            lake, "silver.items", len(ids), item_id=ids, text=ids, content_hash=ids, file="f", line=1, day=day
        )
        old = published and load_codebook(lake, next(reversed(published))[0], vectors.shape[1])
        started = perf_counter()
        notes = quantize.run(lake, settings, day).notes
        seconds.append(perf_counter() - started)
        published = check_published(lake, published)
        if "refit" in notes and isinstance(old, ResKmeansFSQ):
            stay = np.flatnonzero(np.isin(today, yesterday))
            metric_rows = lake.arrow("gold.metrics").to_pylist()
            job_row = {r["metric"]: r["value"] for r in metric_rows if r["slice"] == "refit" and r["day"] == day}
            refits = [{"refit": "matched (the job)"} | job_row, *compare_refits(settings, old, vectors[today], stay)]
            rows += [{"day": number + 1, "items": len(ids), **row} for row in refits]
        yesterday = today
        report_progress(number + 1, days)
    print(f"{len(published):,} IDs of {days} days, none moved; a day took {np.median(seconds):.2f} s", file=sys.stderr)
    return rows


def check_published(lake: Lake, before: UniqueIds) -> UniqueIds:
    """Read all published IDs, the newest codebook last. Asserts that none of those from before moved or is missing."""
    table = lake.arrow("gold.semantic_ids", ["codebook_version", "item_id", "unique_sid"]).sort_by("codebook_version")
    keys = zip(table["codebook_version"].to_pylist(), table["item_id"].to_pylist(), strict=True)
    published = dict(zip(keys, table["unique_sid"].to_pylist(), strict=True))
    assert before.items() <= published.items(), "a published ID moved"
    unique = {(version, sid) for (version, _), sid in published.items()}
    assert len(unique) == len(published) == table.num_rows, "two items share an ID"
    return published


def main() -> None:
    parser = build_parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, help="landing folder")
    parser.add_argument("--days", type=int, default=100)
    parser.add_argument("--every", type=int, default=25, help="days from refit to refit")
    flags = parser.parse_args()
    os.environ.setdefault("PROFILE", "small")
    settings = load_settings()
    settings = settings.model_copy(
        update={"quantizer": settings.quantizer.model_copy(update={"refit_days": flags.every})}
    )
    vectors = embed_items(flags.data, settings)
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder) / "lake", run_id="bench")
        lake.create()
        rows = simulate(lake, settings, vectors, flags.days)
    table = Table(title=f"{flags.data.name}, {len(vectors):,} items, {flags.days} days; {describe_machine('torch')}")
    for column in rows[0]:
        table.add_column(column.replace("_", " "))
    for row in rows:
        table.add_row(*(f"{value:.1%}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=120).print(table)
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
