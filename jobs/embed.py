"""Embed the items whose text or encoder changed.

    python -m jobs.embed --day 2026-11-20

Reads silver.items. Writes gold.item_embeddings, partition (encoder_version, day).
"""

import os
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from safetensors import SafetensorError

from jobs.catalogue import vectors_column
from jobs.encoders import encoder_location, encoder_version
from jobs.lake import Lake, UserError, Written
from jobs.lake.contracts import contracts
from jobs.lake.entry import main
from jobs.metrics import metric_rows, write_metrics
from jobs.progress import progress
from jobs.settings import Encoder, Settings

TABLE = "gold.item_embeddings"


def run(lake: Lake, settings: Settings, day: date) -> Written:
    version = encoder_version(settings.encoder)
    items = lake.arrow("silver.items", ["item_id", "content_hash", "text"])
    known = lake.arrow(TABLE, ["item_id", "content_hash"], ds.field("encoder_version") == version)
    if os.environ.get("FORCE"):  # the DAG's parameter: embed everything again, into this day
        known = known.slice(0, 0)
    todo = items.join(known, ["item_id", "content_hash"], join_type="left anti").sort_by("item_id")
    if todo.num_rows:
        mine = (ds.field("encoder_version") == version) & (ds.field("day") == day)
        kept = lake.arrow(TABLE, where=mine)  # a rerun adds to what this day has embedded already
        kept = kept.filter(pc.invert(pc.is_in(kept["item_id"], todo["item_id"])))
        rows = pa.concat_tables([kept.cast(contracts()[TABLE].arrow), _embed(settings.encoder, todo, version, day)])
        lake.replace(TABLE, rows, encoder_version=version, day=day)
    _measure(lake, version, day)
    return Written(items.num_rows, todo.num_rows, 0, items.num_rows - todo.num_rows, {"encoder_version": version})


def _embed(settings: Encoder, todo: pa.Table, version: str, day: date) -> pa.Table:
    from models.encoder import text  # heavy: only when there is something to embed

    location = encoder_location(settings)
    try:
        encoder = text.load(location, max_tokens=settings.max_tokens)
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(
            f"encoder.model: {location} cannot be loaded ({str(error).splitlines()[0][:200]});"
            " give a folder with config.json, tokenizer and *.safetensors"
        ) from None
    texts = todo["text"].to_pylist()
    vectors = text.embed(encoder, texts, batch=settings.batch, progress=progress("embedding items"))
    count = todo.num_rows
    columns = [
        todo["item_id"],
        [version] * count,
        todo["content_hash"],
        vectors_column(vectors),
        [day] * count,
    ]
    return pa.table(dict(zip(contracts()[TABLE].names, columns, strict=True)), contracts()[TABLE].arrow)


def _measure(lake: Lake, version: str, day: date) -> None:
    mine = (ds.field("encoder_version") == version) & (ds.field("day") == day)
    embedded = pc.count(lake.arrow(TABLE, ["item_id"], mine)["item_id"]).as_py()
    write_metrics(lake, "embed", day, metric_rows("encoder", "all", {"items_embedded": embedded}, version=version))


if __name__ == "__main__":
    main(run)
