"""A hundred days of arriving and leaving items: which published semantic IDs move, and what a refit moves.

    make bench B=continuity ARGS="--data <landing folder> [--days 100] [--every 25] [--json continuity.json]"

Two thirds of the folder's items are there on day one; each day some leave and as many others come, in an order drawn
by the seed. The job `quantize` runs on a lake of its own each day and fits anew every so many days. Beside each refit
stand two others of the same vectors: one that goes on from the old codebook but keeps its own numbers, and one from
scratch. Moved: share of the surviving items whose c1, c1 and c2, whole ID is another than before. Asserts that no ID
moves within a codebook version and that no two items share a unique one; asserts no time.
"""

import argparse
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
from common import machine
from items import item_rows, item_text
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
from models.quantizers.matching import moved
from models.quantizers.res_kmeans_fsq import ResKmeansFSQ

Row = dict[str, str | int | float]
Vectors = NDArray[np.float32]
FIRST = date(2026, 1, 1)


def embedded(folder: Path, settings: Settings) -> Vectors:
    texts = list(map(item_text, item_rows(folder).values()))
    encoder = load_embedder(base_encoder(settings), settings.encoder)
    return embedder.embed(
        encoder, texts, tokens_per_batch=settings.encoder.tokens_per_batch, progress=progress("embedding", every=30)
    )


def put(lake: Lake, table: str, count: int, **columns: object) -> None:
    """Replace a table; a column that is not given is empty, one value stands for all rows."""
    schema = contracts()[table].arrow
    given = {
        name: value if isinstance(value, list | pa.Array) else [value] * count
        for name, value in columns.items()
    }  # fmt: skip
    arrays = [pa.array(given.get(name, [None] * count), schema.field(name).type) for name in schema.names]
    lake.replace(table, pa.table(arrays, schema=schema))


def refits(settings: Settings, old: ResKmeansFSQ, vectors: Vectors, stay: NDArray[np.int64]) -> list[Row]:
    """What two refits without matching would have moved of the items [stay] of vectors."""
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
        rows.append({"refit": name} | moved(before, new.encode(x[stay]).numpy()))
    return rows


def simulate(lake: Lake, settings: Settings, vectors: Vectors, days: int) -> list[Row]:
    order = np.random.default_rng(0).permutation(len(vectors))
    there = len(order) * 2 // 3
    daily = (len(order) - there) // max(days - 1, 1)
    names = [f"i{n:07}" for n in range(len(vectors))]
    encoder = base_encoder(settings).version
    put(
        lake, "gold.item_embeddings", len(names), item_id=names, encoder_version=encoder, content_hash=names,
        vector=vectors_column(vectors), day=FIRST,
    )  # fmt: skip
    rows: list[Row] = []
    before = np.zeros(0, np.int64)  # yesterday's items
    published: dict[tuple[str, str], str] = {}
    tell, seconds = progress("days", every=30), []
    for number in range(days):
        day, now = FIRST + timedelta(number), np.sort(order[number * daily : number * daily + there])
        here = [names[n] for n in now]
        put(lake, "silver.items", len(here), item_id=here, text=here, content_hash=here, file="f", line=1, day=day)
        old = published and load_codebook(lake, next(reversed(published))[0], vectors.shape[1])
        started = perf_counter()
        told = quantize.run(lake, settings, day).notes
        seconds.append(perf_counter() - started)
        published = checked(lake, published)
        if "refit" in told and isinstance(old, ResKmeansFSQ):
            stay = np.flatnonzero(np.isin(now, before))
            measured = lake.arrow("gold.metrics").to_pylist()
            mine = {r["metric"]: r["value"] for r in measured if r["slice"] == "refit" and r["day"] == day}
            found = [{"refit": "matched (the job)"} | mine, *refits(settings, old, vectors[now], stay)]
            rows += [{"day": number + 1, "items": len(here), **row} for row in found]
        before = now
        tell(number + 1, days)
    print(f"{len(published):,} IDs of {days} days, none moved; a day took {np.median(seconds):.2f} s", file=sys.stderr)
    return rows


def checked(lake: Lake, before: dict[tuple[str, str], str]) -> dict[tuple[str, str], str]:
    """What is published now, the newest codebook last. Asserts that all that was published before still is."""
    found = lake.arrow("gold.semantic_ids", ["codebook_version", "item_id", "unique_sid"]).sort_by("codebook_version")
    keys = zip(found["codebook_version"].to_pylist(), found["item_id"].to_pylist(), strict=True)
    now = dict(zip(keys, found["unique_sid"].to_pylist(), strict=True))
    assert before.items() <= now.items(), "a published ID moved"
    assert len({(version, sid) for (version, _), sid in now.items()}) == len(now) == found.num_rows, "one ID, two items"
    return now


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="landing folder")
    parser.add_argument("--days", type=int, default=100)
    parser.add_argument("--every", type=int, default=25, help="days from refit to refit")
    parser.add_argument("--json", type=Path)
    flags = parser.parse_args()
    os.environ.setdefault("PROFILE", "small")
    settings = load_settings()
    settings = settings.model_copy(
        update={"quantizer": settings.quantizer.model_copy(update={"refit_days": flags.every})}
    )
    vectors = embedded(flags.data, settings)
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder) / "lake", run_id="bench")
        lake.create()
        rows = simulate(lake, settings, vectors, flags.days)
    table = Table(title=f"{flags.data.name}, {len(vectors):,} items, {flags.days} days; {machine('torch')}")
    for column in rows[0]:
        table.add_column(column.replace("_", " "))
    for row in rows:
        table.add_row(*(f"{value:.1%}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=120).print(table)
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
