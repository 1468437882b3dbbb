"""Embed items on Spark's executors: for catalogues beyond one machine."""

from collections.abc import Callable, Iterable
from datetime import date

import pyarrow as pa
from pyspark import cloudpickle

from jobs.encoders import Located
from jobs.lake import Lake
from jobs.settings import Encoder
from models.encoder import text

ITEMS_AT_ONCE = 1_000_000  # one commit each
COLUMNS = "item_id STRING, content_hash STRING, vector ARRAY<FLOAT>"
# Spark's workers need not have this package, only torch and sentence-transformers.
cloudpickle.register_pickle_by_value(text)  # type: ignore[no-untyped-call]  # PySpark gives it no types


def embed_on_executors(
    lake: Lake, settings: Encoder, encoder: Located, todo: pa.Table, day: date, tell: Callable[[int, int], None]
) -> None:
    """Append the vectors of the items (item_id, content_hash), in commits of `ITEMS_AT_ONCE`."""
    embed = embedder(encoder.location, settings.max_tokens, settings.tokens_per_batch)
    for start in range(0, len(todo), ITEMS_AT_ONCE):
        part = todo.slice(start, ITEMS_AT_ONCE)
        wanted = lake.spark.createDataFrame(part)
        texts = lake.sql("SELECT item_id, content_hash, text FROM silver.items")
        texts = texts.join(wanted, ["item_id", "content_hash"], "left_semi").repartition(
            settings.spark_parts, "item_id"
        )
        texts.mapInArrow(embed, COLUMNS).createOrReplaceTempView("embedded_items")
        lake.append(
            "gold.item_embeddings",
            lake.sql(
                "SELECT *, :version AS encoder_version, :day AS day FROM embedded_items",
                version=encoder.version,
                day=day,
            ),
        )
        tell(start + len(part), len(todo))


def embedder(
    location: str, max_tokens: int, tokens_per_batch: int
) -> Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]:
    """Rows `item_id, content_hash, text` to rows with `vector`; the model is loaded once for all rows of a part."""

    def embed(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        model = None
        for batch in batches:
            model = model or text.load(location, max_tokens=max_tokens)
            vectors = text.embed(model, batch["text"].to_pylist(), tokens_per_batch=tokens_per_batch)
            columns = [batch["item_id"], batch["content_hash"], pa.array(list(vectors), pa.list_(pa.float32()))]
            yield pa.RecordBatch.from_arrays(columns, ["item_id", "content_hash", "vector"])

    return embed
