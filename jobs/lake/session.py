"""The Spark session: an application of this process, on a cluster (`SPARK_MASTER`), or on a server (`SPARK_REMOTE`).

Jobs use only DataFrames and SQL, because a Spark Connect server offers nothing else.
`bin/setup` puts Delta's jars into PySpark's jar folder, so no session needs the network.
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
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",  # Arrow reads it without a cast
    "spark.databricks.delta.snapshotPartitions": "1",  # the default of 50 makes small commits take seconds
    "spark.sql.shuffle.partitions": str(2 * (os.cpu_count() or 2)),
    "spark.driver.memory": os.environ.get("SPARK_DRIVER_MEMORY") or "2g",
    "spark.sql.variable.substitute": "false",  # text such as ${HOME} in a value stays text
    "spark.sql.sources.partitionOverwriteMode": "static",
}
SESSION_CONFIG = (  # settings that a client of a server can set
    "spark.sql.session.timeZone", "spark.sql.ansi.enabled", "spark.sql.shuffle.partitions",
    "spark.sql.parquet.outputTimestampType", "spark.sql.variable.substitute",
)  # fmt: skip


def spark_session(warehouse: str) -> SparkSession:
    """Start the session of this process, or return it if it runs already.

    warehouse  folder for tables without a location
    """
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)  # it repeats each error as 20 kB of JSON
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
        builder = builder.config("spark.driver.extraJavaOptions", "-XX:+UseParallelGC")  # see bin/spark_server.py
    for key, value in CONFIG.items():
        builder = builder.config(key, value)
    session = builder.config("spark.sql.warehouse.dir", warehouse).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session
