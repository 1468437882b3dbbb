"""Embed items on Spark's executors, for catalogues that are too large for one machine."""

import sys
from collections.abc import Callable, Iterable
from datetime import date

import pyarrow as pa

from jobs.encoders.location import EncoderRef, image_folder
from jobs.encoders.settings import Encoder
from jobs.lake import Lake
from jobs.runtime.executors import send_models, send_with_tasks

ITEMS_AT_ONCE = 1_000_000  # most items of a commit
COLUMNS = "item_id STRING, content_hash STRING, vector ARRAY<FLOAT>"
send_with_tasks(__name__)


def embed_on_spark(
    lake: Lake,
    settings: Encoder,
    encoder: EncoderRef,
    items: pa.Table,
    day: date,
    report_progress: Callable[[int, int], None],
) -> None:
    """Append the vectors of the items (item_id, content_hash), in commits of `ITEMS_AT_ONCE`."""
    send_models(lake.spark)
    embed = make_batch_embedder(
        encoder.location, settings.max_tokens, settings.tokens_per_batch, image_folder(settings)
    )
    for start in range(0, len(items), ITEMS_AT_ONCE):
        part = items.slice(start, ITEMS_AT_ONCE)
        keys = lake.spark.createDataFrame(part)
        texts = lake.sql("SELECT item_id, content_hash, text, image FROM silver.items")
        texts = texts.join(keys, ["item_id", "content_hash"], "left_semi").repartition(settings.spark_parts, "item_id")
        texts.mapInArrow(embed, COLUMNS).createOrReplaceTempView("embedded_items")
        lake.append(
            "gold.item_embeddings",
            lake.sql(
                "SELECT *, :version AS encoder_version, :day AS day FROM embedded_items",
                version=encoder.version,
                day=day,
            ),
        )
        report_progress(start + len(part), len(items))


def make_batch_embedder(
    location: str, max_tokens: int, tokens_per_batch: int, images: str
) -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
    """A function from rows `item_id, content_hash, text, image` to rows `item_id, content_hash, vector`.

    It loads the model once for all rows of a part. Each part prints how many images it left out.

    images  folder that names of images are relative to, the same on every machine; empty: images are ignored
    """

    def embed_batches(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        from models.encoder import embedder, loading  # on the executor

        model = None
        for batch in batches:
            model = model or loading.load(location, max_tokens=max_tokens, image_folder=images)
            texts, names = batch["text"].to_pylist(), batch["image"].to_pylist()
            vectors = embedder.embed(model, texts, names, tokens_per_batch=tokens_per_batch)
            columns = [batch["item_id"], batch["content_hash"], pa.array(list(vectors), pa.list_(pa.float32()))]
            yield pa.RecordBatch.from_arrays(columns, ["item_id", "content_hash", "vector"])
        if model and (left_out := model.left_out()):
            print(left_out, file=sys.stderr)

    return embed_batches
