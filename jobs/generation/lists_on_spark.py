"""The lists of `generate` on Spark's executors, for shops with so many users that one process would take too long."""

import tempfile
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
from pyspark.sql import DataFrame

from jobs.generation.lists import Source, last_inactive_day, list_versions
from jobs.generation.shards import POPULAR
from jobs.lake import Lake
from jobs.ranking.users_on_spark import MapBatches, find_sent_folder, map_users, register_acted
from jobs.runtime.executors import send_folder, send_with_tasks
from jobs.settings.tree import Settings
from models.generator.finders import Scored
from models.generator.served import save_sources

COLUMNS = "user_id STRING, rank INT, item_id STRING, score DOUBLE, source STRING"
send_with_tasks(__name__)


def list_on_spark(
    lake: Lake,
    settings: Settings,
    day: date,
    sources: Mapping[str, Source],
    items: pa.Array,
    popular: Scored,
    n_users: int,
) -> DataFrame:
    """The rows of gold.generated of a day. Each Python process of an executor holds the sources, and some users.

    If an executor dies, Spark makes its lists again; if this process dies, all lists are made again.

    items    IDs by index
    popular  as for `Shards`
    n_users  who get lists, about
    """
    savers = {name: source.save for name, source in sources.items()}
    with tempfile.TemporaryDirectory() as folder:
        save_sources(Path(folder), items, settings.generator.k, savers, (POPULAR, popular))
        name = send_folder(lake.spark, Path(folder))
    register_acted(lake, settings, day, items)
    active_from = last_inactive_day(settings, day) + timedelta(days=1)
    users = lake.transform("users_to_list", day=day, active_from=active_from)
    map_users(lake, users, n_users, make_lister(name), COLUMNS).createOrReplaceTempView("listed")
    versions = list_versions(settings, day, sources)
    table = pa.table({"source": list(versions), "model_version": list(versions.values())})
    lake.spark.createDataFrame(table).createOrReplaceTempView("source_versions")
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
