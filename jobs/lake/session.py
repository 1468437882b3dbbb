"""The Spark session: an application of this process, on a cluster (`SPARK_MASTER`), or on a server (`SPARK_REMOTE`).

Jobs use only DataFrames and SQL, because a Spark Connect server offers nothing else. `bin/setup` puts the jars of Delta
and of S3 into PySpark's jar folder, so no session needs the network.
"""

import logging
import os
import sys

from pyspark.sql import DataFrame, SparkSession

from jobs.lake.contracts import ROOT
from jobs.lake.errors import UserError

DEFAULTS = ROOT.parent / "spark" / "spark-defaults.conf"
LOG_STORE = "spark.delta.logStore.s3a.impl"
SESSION_CONFIG = (  # settings that a client of a server can set
    "spark.sql.session.timeZone", "spark.sql.ansi.enabled", "spark.sql.parquet.outputTimestampType",
    "spark.sql.variable.substitute",
)  # fmt: skip


def spark_session(warehouse: str) -> SparkSession:
    """Start the session of this process, or return it if it runs already.

    warehouse  folder for tables without a location
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)  # it repeats each error as 20 kB of JSON
    defaults = read_defaults()
    remote = os.environ.get("SPARK_REMOTE")
    if remote:
        builder = SparkSession.builder.remote(remote)
        for key in SESSION_CONFIG:
            builder = builder.config(key, defaults[key])
        return builder.getOrCreate()
    master = os.environ.get("SPARK_MASTER", "local[*]")
    builder = SparkSession.builder.appName("sidereal").master(master)
    if master.startswith("local"):
        builder = builder.config("spark.driver.host", "127.0.0.1")
        builder = builder.config("spark.driver.extraJavaOptions", "-XX:+UseParallelGC")  # see bin/spark_server.py
        builder = builder.config("spark.sql.shuffle.partitions", 2 * (os.cpu_count() or 2))
    for key, value in defaults.items():
        builder = builder.config(key, value)
    builder = builder.config("spark.driver.memory", os.environ.get("SPARK_DRIVER_MEMORY") or "2g")
    session = builder.config("spark.sql.warehouse.dir", warehouse).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def compute_once(rows: DataFrame) -> DataFrame:
    """Compute rows that several queries read, and keep them until `unpersist`.

    `persist` alone computes them when the first query reads them. If two parts of a query do so at the same time, Spark
    can take the unfinished rows for an empty table, and the result is wrong without an error (SPARK-57547).
    """
    rows.persist().count()
    return rows


def check_log_store(session: SparkSession) -> None:
    """raises UserError if Spark could overwrite the commits of others to tables on S3"""
    if session.conf.get(LOG_STORE, "") != read_defaults()[LOG_STORE]:
        raise UserError(
            "this Spark server could overwrite commits of others on S3: start it with --properties-file"
            " spark/spark-defaults.conf, and with the jars that bin/setup makes"
        )


def read_defaults() -> dict[str, str]:
    """The settings in spark/spark-defaults.conf."""
    lines = (line.split(maxsplit=1) for line in DEFAULTS.read_text().splitlines() if line[:1] not in ("", "#"))
    return {key: value.strip() for key, value in lines}
