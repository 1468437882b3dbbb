"""Embed the items whose text, image or encoder changed.

    python -m jobs.embed --day 2026-11-20

Reads silver.items, gold.encoders and gold.releases. Writes gold.item_embeddings, partition (encoder_version, day), a
chunk of items at a time, so that an interrupted run goes on where it stopped. Items get the vectors of the live
encoder and, after a switch, also those of the encoder that the live model was trained with.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from jobs.encoders.location import EncoderRef, load_embedder
from jobs.encoders.tuned_encoders import base_encoder, champion_encoder, live_encoder
from jobs.encoders.vectors import vectors_column
from jobs.lake import JobResult, Lake, UserError
from jobs.lake.arrow import rows_with_keys
from jobs.lake.contracts import contracts
from jobs.lake.metrics import metric_rows, replace_metrics
from jobs.runtime.entry import main
from jobs.runtime.progress import progress
from jobs.settings.tree import Settings

TABLE = "gold.item_embeddings"
KEY = ["item_id", "content_hash"]
ITEMS_AT_ONCE = 65_536  # at most, one commit each
FIRST_ITEMS = 512  # which tell how many can be embedded in ...
SAVE_EVERY = 300.0  # ... seconds: about what a killed run loses


def run(lake: Lake, settings: Settings, day: date) -> JobResult:
    encoder = live_encoder(lake, settings, day)
    items, embedded = embed_missing(lake, settings, encoder, day)
    others = {}
    # The similarity judge goes by the encoder as it came: one tuned on its verdicts would agree with itself.
    if settings.judge.kind == "similarity" and (base := base_encoder(settings)) != encoder:
        others[base] = settings
    # After a switch the champion is served with the encoder that it was trained with, until a challenger beats it.
    if champion := champion_encoder(lake, settings, day, encoder):
        others[champion[0]] = champion[1]
    more = sum(embed_missing(lake, then, other, day)[1] for other, then in others.items())
    mine = (ds.field("encoder_version") == encoder.version) & (ds.field("day") == day)
    values = {"items_embedded": lake.arrow(TABLE, ["item_id"], mine).num_rows}
    replace_metrics(lake, "embed", day, metric_rows("encoder", "all", values, version=encoder.version))
    notes = {"encoder_version": encoder.version}
    if not embedded + more:
        notes["skipped"] = f"every item text has its vector of {encoder.version}"
    return JobResult(items, embedded, 0, items - embedded, notes)


def embed_missing(lake: Lake, settings: Settings, encoder: EncoderRef, day: date) -> tuple[int, int]:
    """Give every item text that has none a vector. returns how many items there are, and how many got one now"""
    items = lake.arrow("silver.items", KEY)
    known = lake.arrow(TABLE, KEY, ds.field("encoder_version") == encoder.version)
    if os.environ.get("FORCE"):  # the DAG's parameter: embed everything again, into this day
        known = known.slice(0, 0)
    todo = items.join(known, KEY, join_type="left anti")
    if todo.num_rows:
        _forget(lake, todo, encoder.version, day)
        if settings.encoder.spark_parts:
            from jobs.encoders.embed_on_spark import embed_on_spark

            embed_on_spark(lake, settings.encoder, encoder, todo, day, progress("embedding items"))
        else:
            _embed(lake, settings, encoder, todo, day)
    return items.num_rows, todo.num_rows


def _embed(lake: Lake, settings: Settings, encoder: EncoderRef, todo: pa.Table, day: date) -> None:
    from models.encoder import embedder  # heavy: only when there is something to embed

    model = load_embedder(encoder, settings.encoder)
    kind = str(model.dtype).removeprefix("torch.")
    print(f"embedding {todo.num_rows:,} items in {kind}", file=sys.stderr)
    tell = progress("embedding items")
    done, budget = 0, settings.encoder.tokens_per_batch
    at_once = min(FIRST_ITEMS, ITEMS_AT_ONCE)
    for items in _texts(lake, todo):
        while items.num_rows:
            chunk, items = items[:at_once], items[at_once:]
            started = time.monotonic()
            try:
                vectors = embedder.embed(
                    model, chunk["text"].to_pylist(), chunk["image"].to_pylist(), tokens_per_batch=budget,
                    progress=partial(_tell, tell, done, len(todo)),
                )  # fmt: skip
            except embedder.NotFiniteError as error:
                told = "give another encoder.model or, if it was tuned, lower align.lr"
                raise UserError(f"the encoder {encoder.version} is of no use: {error}; {told}") from None
            rows = chunk.select(KEY).append_column("vector", vectors_column(vectors))
            for name, value in {"encoder_version": encoder.version, "day": day}.items():
                rows = rows.append_column(name, pa.repeat(pa.scalar(value), len(chunk)))
            lake.append(TABLE, rows)
            done += len(chunk)
            in_time = int(SAVE_EVERY * len(chunk) / max(time.monotonic() - started, 1e-3))
            at_once = min(max(in_time, 1), ITEMS_AT_ONCE)
    if told := model.left_out():
        print(told, file=sys.stderr)


def _tell(tell: Callable[[int, int], None], before: int, total: int, done: int, _: int) -> None:
    tell(before + done, total)


def _texts(lake: Lake, todo: pa.Table) -> Iterator[pa.Table]:
    """The items to do with their texts and images, `ITEMS_AT_ONCE` at a time."""
    waiting: list[pa.Table] = []
    wanted = set(zip(todo["item_id"].to_pylist(), strict=True))
    for batch in lake.batches("silver.items", [*KEY, "text", "image"]):
        waiting.append(pa.Table.from_batches([rows_with_keys(batch, ["item_id"], wanted)]))
        if sum(map(len, waiting)) >= ITEMS_AT_ONCE:
            yield pa.concat_tables(waiting)
            waiting = []
    if sum(map(len, waiting)):
        yield pa.concat_tables(waiting)


def _forget(lake: Lake, todo: pa.Table, version: str, day: date) -> None:
    """A rerun takes the place of what this day held of the same items."""
    own = (ds.field("encoder_version") == version) & (ds.field("day") == day)
    held = lake.arrow(TABLE, ["item_id"], own)
    if pc.any(pc.is_in(held["item_id"], todo["item_id"])).as_py():
        rows = lake.arrow(TABLE, where=own)
        lake.replace(
            TABLE, rows.filter(pc.invert(pc.is_in(rows["item_id"], todo["item_id"]))).cast(contracts()[TABLE].arrow),
            encoder_version=version, day=day,
        )  # fmt: skip


if __name__ == "__main__":
    main(run)
