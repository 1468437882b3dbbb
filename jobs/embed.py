"""Embed the items whose text or encoder changed, and let a newly tuned encoder go live if it is better.

    python -m jobs.embed --day 2026-11-20

Reads silver.items, silver.item_pairs and gold.encoders. Writes gold.item_embeddings, partition (encoder_version,
day), a chunk of items at a time, so that an interrupted run goes on where it stopped; and, where `align` tuned an
encoder for this day, to gold.encoders whether it is live.
"""

import os
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from jobs.aligned import candidate, decide, held_out, live_encoder
from jobs.catalogue import current_vectors, vectors_column
from jobs.encoders import Located, load_sentence
from jobs.lake import Lake, Written
from jobs.lake.contracts import contracts
from jobs.lake.entry import main
from jobs.metrics import metric_rows, write_metrics
from jobs.progress import progress
from jobs.settings import Settings

TABLE = "gold.item_embeddings"
KEY = ["item_id", "content_hash"]
ITEMS_AT_ONCE = 65_536  # one commit each


def run(lake: Lake, settings: Settings, day: date) -> Written:
    live, tuned = live_encoder(lake, settings, day), candidate(lake, settings, day)
    items, embedded = embed_missing(lake, settings, live, day)
    measured = metric_rows("encoder", "all", _embedded_on(lake, live.version, day), version=live.version)
    if tuned:
        embedded += embed_missing(lake, settings, tuned, day)[1]
        found = compared(lake, settings, live, tuned, day)
        live = decide(lake, settings, day, **found)
        measured += metric_rows("encoder", "held_out_pairs", found, version=tuned.version)
    write_metrics(lake, "embed", day, measured)
    return Written(items, embedded, 0, max(0, items - embedded), {"encoder_version": live.version})


def embed_missing(lake: Lake, settings: Settings, encoder: Located, day: date) -> tuple[int, int]:
    """Give every item text that has none a vector. returns how many items there are, and how many got one now"""
    items = lake.arrow("silver.items", KEY)
    known = lake.arrow(TABLE, KEY, ds.field("encoder_version") == encoder.version)
    if os.environ.get("FORCE"):  # the DAG's parameter: embed everything again, into this day
        known = known.slice(0, 0)
    todo = items.join(known, KEY, join_type="left anti")
    if todo.num_rows:
        _forget(lake, todo, encoder.version, day)
        _embed(lake, settings, encoder, todo, day)
    return items.num_rows, todo.num_rows


def _embed(lake: Lake, settings: Settings, encoder: Located, todo: pa.Table, day: date) -> None:
    from models.encoder import text  # heavy: only when there is something to embed

    model = load_sentence(encoder, settings.encoder)
    print(
        f"embedding {todo.num_rows:,} items in {str(next(model.parameters()).dtype).removeprefix('torch.')}", flush=True
    )
    tell = progress("embedding items")
    done, budget = 0, settings.encoder.tokens_per_batch
    for chunk in _texts(lake, todo):
        vectors = text.embed(
            model, chunk["text"].to_pylist(), tokens_per_batch=budget, progress=partial(_tell, tell, done, len(todo))
        )
        rows = chunk.drop_columns("text").append_column("vector", vectors_column(vectors))
        for name, value in {"encoder_version": encoder.version, "day": day}.items():
            rows = rows.append_column(name, pa.repeat(pa.scalar(value), len(chunk)))
        lake.append(TABLE, rows)
        done += len(chunk)


def _tell(tell: Callable[[int, int], None], before: int, total: int, done: int, _: int) -> None:
    tell(before + done, total)


def _texts(lake: Lake, todo: pa.Table) -> Iterator[pa.Table]:
    """The items to do with their texts, `ITEMS_AT_ONCE` at a time."""
    waiting: list[pa.Table] = []
    for batch in lake.batches("silver.items", [*KEY, "text"]):
        waiting.append(pa.Table.from_batches([batch]).join(todo, KEY, join_type="left semi"))
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


def compared(lake: Lake, settings: Settings, live: Located, tuned: Located, day: date) -> dict[str, float]:
    """HR@10 on pairs that the tuned encoder never saw, of both encoders, in the whole catalogue."""
    from models.encoder.retrieval import hit_rates

    found = {}
    for name, encoder in (("hr_at_10", tuned), ("hr_at_10_live", live)):
        items, vectors = current_vectors(lake, encoder.version)
        found[name] = hit_rates(vectors, held_out(lake, settings, items, day), (10,))[10]
    return found


def _embedded_on(lake: Lake, version: str, day: date) -> dict[str, float]:
    mine = (ds.field("encoder_version") == version) & (ds.field("day") == day)
    return {"items_embedded": lake.arrow(TABLE, ["item_id"], mine).num_rows}


if __name__ == "__main__":
    main(run)
