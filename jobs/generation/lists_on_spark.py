"""The lists of `generate` on Spark's executors, for shops with so many users that one process would take too long."""

import tempfile
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame

from jobs.generation.lists import Source, last_inactive_day
from jobs.generation.shards import POPULAR, Shards
from jobs.lake import Lake
from jobs.ranking.users_on_spark import MapBatches, find_sent_folder, map_users, register_acted
from jobs.runtime.executors import send_folder, send_with_tasks
from jobs.settings.tree import Settings
from models.generator.served import save_sources

COLUMNS = "user_id STRING, rank INT, item_id STRING, score DOUBLE, source STRING"
send_with_tasks(__name__)


def list_on_spark(
    lake: Lake, settings: Settings, day: date, sources: Mapping[str, Source], shards: Shards
) -> DataFrame:
    """The rows of gold.generated of the shards. Each Python process of an executor holds the sources, and some users.

    If an executor dies, Spark makes its lists again; if this process dies, all lists are made again.
    """
    savers = {name: source.save for name, source in sources.items()}
    with tempfile.TemporaryDirectory() as folder:
        save_sources(Path(folder), shards.items, shards.k, savers, (POPULAR, shards.popular))
        name = send_folder(lake.spark, Path(folder))
    register_acted(lake, settings, day, shards.items)
    active_from = last_inactive_day(settings, day) + timedelta(days=1)
    users = lake.transform("users_to_list", day=day, active_from=active_from)
    map_users(lake, users, len(shards.active), make_lister(name), COLUMNS).createOrReplaceTempView("listed")
    versions = pa.table({"source": list(shards.versions), "model_version": list(shards.versions.values())})
    lake.spark.createDataFrame(versions).createOrReplaceTempView("source_versions")
    return lake.sql("SELECT *, :day AS day FROM listed JOIN source_versions USING (source)", day=day)


def make_lister(name: str) -> MapBatches:
    """A function for `mapInArrow`: batches of users, as `ServedLists.find` reads them, to batches of their lists.

    name  of the folder that was sent to the executors
    """

    def find_lists(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        from models.generator.served import load_served_lists  # on the executor

        for batch in batches:
            if batch.num_rows:
                yield from load_served_lists(find_sent_folder(name)).find(batch).to_batches()

    return find_lists
