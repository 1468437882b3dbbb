"""Train a ranker on Spark's executors, for more rows than one machine can train on. Each process has a part of them."""

import json
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.errors import PySparkException
from pyspark.sql import functions as F
from safetensors.torch import load as from_bytes

from jobs.lake import Lake, UserError
from jobs.lake.store import open_store, spark_address
from jobs.ranking.settings import Ranker as RankerSettings
from jobs.ranking.train_worker import divergence_message
from jobs.ranking.users_on_spark import MapBatches, find_sent_folder
from jobs.runtime.executors import send_folder, send_models, send_with_tasks
from models.ranker import Epoch, Ranker, Samples
from models.ranker.histories import Int64s
from models.ranker.split_training import (
    CURVE,
    DIVERGED,
    WEIGHTS,
    Plan,
    build_records,
    describe_records,
    record_type,
)
from models.ranker.training import FitOptions
from models.ranker.training_rows import TrainingRows

TOO_FEW_CORES = "SPARK-24819"  # the name of Spark's error
BYTES_AT_ONCE = 1 << 26  # of a file of rows
RESULT = "kind STRING, number INT, content BINARY"
ROWS = "row BIGINT, record BINARY"
send_with_tasks(__name__)


def train_on_spark(
    lake: Lake, model: Ranker, samples: Samples, settings: RankerSettings, name: str, day: date
) -> list[Epoch]:
    """Train in place, in `settings.spark_parts` processes. Returns the training curve.

    The weights are those of one process but for rounding. A training that is killed starts again.

    name     of the model, for messages
    raises   UserError that says what to do if training diverged, or if Spark has too few cores
    """
    rows = TrainingRows.split_by_time(samples, settings.valid_share)
    options = FitOptions(
        seed=settings.seed, epochs=settings.epochs, batch_size=settings.batch, lr=settings.lr,
        patience=settings.patience,
    )  # fmt: skip
    plan = Plan(len(samples), len(rows.train), describe_records(samples), options)
    with tempfile.TemporaryDirectory() as folder:
        plan.save(model, Path(folder))
        sent = send_folder(lake.spark, Path(folder))
    send_models(lake.spark)
    with stored_rows(lake, samples, np.concatenate([rows.train, rows.valid]), day) as address:
        stored = lake.spark.read.schema(ROWS).parquet(spark_address(address))
        process = (F.col("row") % settings.spark_parts).cast("int")
        by_process = stored.repartitionById(settings.spark_parts, process)
        try:
            results = by_process.mapInArrow(make_trainer(sent), RESULT, barrier=True).toArrow()
        except PySparkException as error:
            if TOO_FEW_CORES not in str(error):
                raise
            raise UserError(
                f"training {name} needs {settings.spark_parts} of Spark's cores at once, and there are fewer: lower"
                " ranker.spark_parts, or start more executors"
            ) from None
    contents = defaultdict[str, bytes](bytes)
    for result in results.sort_by("number").to_pylist():
        contents[result["kind"]] += result["content"]
    if DIVERGED in contents:
        raise UserError(divergence_message(name, contents[DIVERGED].decode()))
    model.load_state_dict(from_bytes(contents[WEIGHTS]))
    model.eval()
    return [Epoch(**point) for point in json.loads(contents[CURVE])]


@contextmanager
def stored_rows(lake: Lake, samples: Samples, order: Int64s, day: date) -> Iterator[str]:
    """A folder of Parquet files with the rows, for as long as the `with` block lasts. Yields its address.

    order  rows of the samples; a row's number is its place in `order`
    """
    address = f"{lake.root}/models/unfinished/train/{day}/rows-{uuid.uuid4().hex[:12]}"
    store, folder = open_store(address)
    store.create_dir(folder, recursive=True)
    row_bytes = record_type(describe_records(samples)).itemsize
    step = max(BYTES_AT_ONCE // row_bytes, 1)
    try:
        for start in range(0, len(order), step):
            records = build_records(samples, order[start : start + step])
            bounds = np.arange(len(records) + 1, dtype=np.int32) * row_bytes
            content = [None, pa.py_buffer(bounds), pa.py_buffer(records.view(np.uint8))]
            table = pa.table({
                "row": np.arange(start, start + len(records)),
                "record": pa.BinaryArray.from_buffers(pa.binary(), len(records), content),
            })  # fmt: skip
            pq.write_table(table, f"{folder}/{start:012}.parquet", filesystem=store, compression="zstd")
        yield address
    finally:
        store.delete_dir(folder)


def make_trainer(name: str) -> MapBatches:
    """A function for `mapInArrow` in a barrier stage, see `train_part`.

    name  of the folder that was sent to the executors
    """

    def train(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        from pyspark import BarrierTaskContext  # on the executor

        from models.ranker.split_training import train_part

        yield from train_part(find_sent_folder(name), batches, BarrierTaskContext.get())

    return train
