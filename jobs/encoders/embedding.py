"""Give every item text that has no vector of an encoder its vector, in gold.item_embeddings."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from jobs.encoders.location import EncoderRef, load_embedder
from jobs.encoders.vectors import vectors_column
from jobs.lake import Lake, UserError
from jobs.lake.arrow import rows_with_keys
from jobs.lake.contracts import contracts
from jobs.lake.run_state import share
from jobs.runtime.progress import progress
from jobs.settings.tree import Settings

TABLE = "gold.item_embeddings"
KEY = ["item_id", "content_hash"]
ITEMS_AT_ONCE = 65_536  # most items of a commit
FIRST_ITEMS = 512  # items of the first commit; its time sets the size of the next ones
SAVE_EVERY = 300.0  # seconds between commits, about what a killed run loses


def embed_missing(lake: Lake, settings: Settings, encoder: EncoderRef, day: date) -> tuple[int, int]:
    """Embed the items whose present text or image has no vector of the encoder.

    returns  the number of all items; the number of items that were embedded
    """
    share(lake, day, TABLE)  # an item that another run has embedded meanwhile must not be embedded twice
    items = lake.arrow("silver.items", KEY)
    known = lake.arrow(TABLE, KEY, ds.field("encoder_version") == encoder.version)
    if os.environ.get("FORCE"):  # the DAG's parameter: embed everything again, into this day
        known = known.slice(0, 0)
    missing = items.join(known, KEY, join_type="left anti")
    if missing.num_rows:
        _delete_of_day(lake, missing, encoder.version, day)
        if settings.encoder.spark_parts:
            from jobs.encoders.embed_on_spark import embed_on_spark

            embed_on_spark(lake, settings.encoder, encoder, missing, day, progress("embedding items"))
        else:
            _embed_in_process(lake, settings, encoder, missing, day)
    return items.num_rows, missing.num_rows


def _embed_in_process(lake: Lake, settings: Settings, encoder: EncoderRef, missing: pa.Table, day: date) -> None:
    from models.encoder import embedder  # slow to import: only if there is something to embed

    model = load_embedder(encoder, settings.encoder)
    number_type = str(model.dtype).removeprefix("torch.")
    print(f"embedding {missing.num_rows:,} items in {number_type}", file=sys.stderr)
    report_progress = progress("embedding items")
    done, size = 0, min(FIRST_ITEMS, ITEMS_AT_ONCE)
    for items in _stream_texts(lake, missing):
        while items.num_rows:
            chunk, items = items[:size], items[size:]
            started = time.monotonic()
            try:
                vectors = embedder.embed(
                    model, chunk["text"].to_pylist(), chunk["image"].to_pylist(),
                    tokens_per_batch=settings.encoder.tokens_per_batch,
                    progress=_shift_progress(report_progress, done, len(missing)),
                )  # fmt: skip
            except embedder.NotFiniteError as error:
                advice = "give another encoder.model or, if it was tuned, lower align.lr"
                raise UserError(f"the encoder {encoder.version} cannot be used: {error}; {advice}") from None
            rows = chunk.select(KEY).append_column("vector", vectors_column(vectors))
            for name, value in {"encoder_version": encoder.version, "day": day}.items():
                rows = rows.append_column(name, pa.repeat(pa.scalar(value), len(chunk)))
            lake.append(TABLE, rows)
            done += len(chunk)
            items_in_time = int(SAVE_EVERY * len(chunk) / max(time.monotonic() - started, 1e-3))
            size = min(max(items_in_time, 1), ITEMS_AT_ONCE)
    if left_out := model.left_out():
        print(left_out, file=sys.stderr)


def _shift_progress(report_progress: Callable[[int, int], None], before: int, total: int) -> Callable[[int, int], None]:
    """A progress callback of a chunk that reports the progress of all items."""
    return lambda done, _: report_progress(before + done, total)


def _stream_texts(lake: Lake, missing: pa.Table) -> Iterator[pa.Table]:
    """Yield the missing items with their texts and images, at least `ITEMS_AT_ONCE` at a time, each time sorted.

    In bfloat16, a vector depends a little on the items that are computed with it. The rows of silver.items are in
    another order in each run.
    """
    waiting: list[pa.Table] = []
    wanted = set(zip(missing["item_id"].to_pylist(), strict=True))
    for batch in lake.batches("silver.items", [*KEY, "text", "image"]):
        waiting.append(pa.Table.from_batches([rows_with_keys(batch, ["item_id"], wanted)]))
        if sum(map(len, waiting)) >= ITEMS_AT_ONCE:
            yield pa.concat_tables(waiting).sort_by("item_id")
            waiting = []
    if sum(map(len, waiting)):
        yield pa.concat_tables(waiting).sort_by("item_id")


def _delete_of_day(lake: Lake, items: pa.Table, encoder_version: str, day: date) -> None:
    """Delete the vectors that the day has of these items: a rerun replaces them."""
    of_day = (ds.field("encoder_version") == encoder_version) & (ds.field("day") == day)
    version = lake.delta(TABLE).version()
    present = lake.arrow(TABLE, ["item_id"], of_day, version)
    if pc.any(pc.is_in(present["item_id"], items["item_id"])).as_py():
        rows = lake.arrow(TABLE, where=of_day, version=version)
        kept = rows.filter(pc.invert(pc.is_in(rows["item_id"], items["item_id"])))
        kept = kept.cast(contracts()[TABLE].arrow)
        lake.replace(TABLE, kept, computed_at=version, encoder_version=encoder_version, day=day)
