"""The Spark session: its own application, a cluster (`SPARK_MASTER`) or a server (`SPARK_REMOTE`).

Only DataFrames and SQL are used on it, because a Spark Connect server offers nothing else.
Delta's jars lie in PySpark's own jar folder (see `bin/setup`), so no session needs the network.
"""

import logging
import os
import sys

from pyspark.sql import SparkSession

CONFIG = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",  # what Arrow reads without a cast
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.sql.shuffle.partitions": str(2 * (os.cpu_count() or 2)),
    "spark.driver.memory": os.environ.get("SPARK_DRIVER_MEMORY", "2g"),
    "spark.sql.variable.substitute": "false",  # text such as ${HOME} in a value stays text
    "spark.sql.sources.partitionOverwriteMode": "static",
}
SESSION_CONFIG = (
    "spark.sql.session.timeZone", "spark.sql.ansi.enabled", "spark.sql.shuffle.partitions",
    "spark.sql.parquet.outputTimestampType", "spark.sql.variable.substitute",
)  # fmt: skip


def spark_session(warehouse: str) -> SparkSession:
    """A session for this process, made once; `warehouse` is where Spark puts tables without a location."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)  # repeats each error as 20 kB of JSON
    remote = os.environ.get("SPARK_REMOTE")
    if remote:
        builder = SparkSession.builder.remote(remote)
        for key in SESSION_CONFIG:
            builder = builder.config(key, CONFIG[key])
        return builder.getOrCreate()
    master = os.environ.get("SPARK_MASTER", "local[*]")
    builder = SparkSession.builder.appName("sidereal").master(master)
    if master.startswith("local"):
        builder = builder.config("spark.driver.host", "127.0.0.1")
    for key, value in CONFIG.items():
        builder = builder.config(key, value)
    session = builder.config("spark.sql.warehouse.dir", warehouse).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session
