"""Train a ranker on Spark's executors: each process has a part of the rows, and all share every batch."""

import json
import socket
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
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
from jobs.runtime.progress import step
from models.ranker import Epoch, Ranker, Samples
from models.ranker.histories import Int64s
from models.ranker.split_training import (
    BYTES_AT_ONCE,
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
RESULT = "kind STRING, number BIGINT, content BINARY"
ROWS = "row BIGINT, record BINARY"
send_with_tasks(__name__)


def train_on_spark(
    lake: Lake, model: Ranker, samples: Samples, settings: RankerSettings, name: str, day: date
) -> list[Epoch]:
    """Train in place, in `settings.spark_parts` processes. Returns the training curve.

    Without dropout, the weights are those of one process but for rounding. If a process dies, training begins again.

    name     of the model, for messages
    raises   UserError that says what to do if training diverged, or if Spark has too few cores.
             ValueError if no row to train on has a label
    """
    rows = TrainingRows.split_by_time(samples, settings.valid_share)
    if not np.isfinite(samples.labels[rows.train]).any():
        raise ValueError("no training row has a label")
    options = FitOptions(
        seed=settings.seed, epochs=settings.epochs, batch_size=settings.batch, lr=settings.lr,
        patience=settings.patience,
    )  # fmt: skip
    plan = Plan(len(samples), len(rows.train), describe_records(samples), options)
    with tempfile.TemporaryDirectory() as folder:
        plan.save(model, Path(folder))
        sent = send_folder(lake.spark, Path(folder))
    send_models(lake.spark)
    order, place = np.concatenate([rows.train, rows.valid]), f"{day}/rows-{name}"
    what = f"training {name} with {len(samples):,} rows in {settings.spark_parts} of Spark's tasks"
    with step(what), stored_rows(lake, samples, order, place) as address:
        contents = _run_barrier_stage(lake, address, plan, sent, settings.spark_parts, name)
    if DIVERGED in contents:
        raise UserError(divergence_message(name, contents[DIVERGED].decode()))
    model.load_state_dict(from_bytes(contents[WEIGHTS]))
    model.eval()
    return [Epoch(**point) for point in json.loads(contents[CURVE])]


def _run_barrier_stage(lake: Lake, address: str, plan: Plan, sent: str, parts: int, name: str) -> dict[str, bytes]:
    """What the first process returns, by kind."""
    rows_at_once = max(BYTES_AT_ONCE // record_type(plan.columns).itemsize, 1)
    lake.spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", rows_at_once)
    stored = lake.spark.read.schema(ROWS).parquet(spark_address(address))
    by_process = stored.repartitionById(parts, (F.col("row") % parts).cast("int"))
    results = by_process.mapInArrow(make_trainer(sent, parts), RESULT, barrier=True)
    results = results.repartition(1)  # Spark repeats a barrier stage only if another one follows
    try:
        table = results.toArrow().sort_by("number")
    except PySparkException as error:
        if TOO_FEW_CORES not in str(error):
            raise
        raise UserError(
            f"training {name} needs {parts} of Spark's cores at once, and there are fewer: lower ranker.spark_parts,"
            " or start more executors"
        ) from None
    kinds, contents = table["kind"].to_pylist(), table["content"].to_pylist()
    return {kind: b"".join(part for of, part in zip(kinds, contents, strict=True) if of == kind) for kind in set(kinds)}


@contextmanager
def stored_rows(lake: Lake, samples: Samples, order: Int64s, place: str) -> Iterator[str]:
    """A folder of Parquet files with the rows, for as long as the `with` block lasts. Yields its address.

    order  rows of the samples; a row's number is its place in `order`
    place  of the folder below `models/unfinished/train`. What a killed run left there is removed
    """
    address = f"{lake.root}/models/unfinished/train/{place}"
    store, folder = open_store(address)
    if store.get_file_info(folder).type != pafs.FileType.NotFound:
        store.delete_dir(folder)
    store.create_dir(folder, recursive=True)
    row_bytes = record_type(describe_records(samples)).itemsize
    at_once = max(BYTES_AT_ONCE // row_bytes, 1)
    try:
        for start in range(0, len(order), at_once):
            records = build_records(samples, order[start : start + at_once])
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


def make_trainer(name: str, parts: int) -> MapBatches:
    """A function for `mapInArrow` in a barrier stage, in which all tasks run at once, see `train_part`.

    name   of the folder that was sent to the executors
    parts  number of tasks. It raises RuntimeError if Spark starts another number
    """

    def train(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        from pyspark import BarrierTaskContext  # on the executor

        from models.ranker.split_training import train_part

        task = BarrierTaskContext.get()
        hosts, index = [info.address.rpartition(":")[0] for info in task.getTaskInfos()], task.partitionId()
        if len(hosts) != parts:
            raise RuntimeError(f"Spark started {len(hosts)} tasks instead of {parts}")
        choose_gpu(hosts[:index].count(hosts[index]))

        def find_address() -> str:
            return f"{hosts[0]}:{task.allGather(str(find_free_port()))[0]}"

        yield from train_part(find_sent_folder(name), batches, index, len(hosts), find_address)

    return train


def choose_gpu(number: int) -> None:
    """Let this process use a GPU, if the machine has any. number: of the process on its machine"""
    import torch

    if gpus := torch.cuda.device_count():
        torch.cuda.set_device(number % gpus)


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])
