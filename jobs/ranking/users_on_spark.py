"""Users for Spark's executors: one row each, with all of the history."""

from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame

from jobs.lake import Lake
from jobs.landing.cancels import register_cancelled
from jobs.runtime.executors import send_models, send_with_tasks
from jobs.settings.tree import Settings

USERS_PER_BATCH = 1024
USERS_PER_TASK = 1 << 16  # at most: some minutes of work
MapBatches = Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]
send_with_tasks(__name__)


def register_acted(lake: Lake, settings: Settings, day: date, items: pa.Array) -> None:
    """Make the views `acted` and `item_index` for Spark, see sql/transforms/acted.sql.

    items  IDs by index
    """
    index = pa.table({"item_id": items, "item": pa.array(np.arange(len(items), dtype=np.int32))})
    lake.spark.createDataFrame(index).createOrReplaceTempView("item_index")
    register_cancelled(lake, date.min, day)
    lake.transform("acted", day=day, like_from=settings.logs.like_from).createOrReplaceTempView("acted")


def map_users(lake: Lake, users: DataFrame, count: int, function: MapBatches, columns: str) -> DataFrame:
    """Call a function of an executor with batches of USERS_PER_BATCH users.

    Spark would put all users into one task, which one executor runs: it looks at their bytes and not at the work.

    count    of the users, about
    columns  of what the function returns
    """
    send_models(lake.spark)
    conf = lake.spark.conf
    conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", USERS_PER_BATCH)
    conf.set("spark.sql.adaptive.coalescePartitions.enabled", False)
    partitions = int(conf.get("spark.sql.shuffle.partitions") or 1)
    conf.set("spark.sql.shuffle.partitions", max(partitions, -(-count // USERS_PER_TASK)))
    return users.mapInArrow(function, columns)


def find_sent_folder(name: str) -> Path:
    """On an executor, where the folder is that `send_folder` named so."""
    from pyspark import SparkFiles

    return Path(SparkFiles.getRootDirectory()) / name
