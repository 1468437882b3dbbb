"""Start one Spark Connect server, which all tasks of a run share."""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path
from urllib.parse import urlsplit

from lake_state import REPOSITORY
from services import Services, free_port

SPARK_SUBMIT = REPOSITORY / ".venv/jobs/bin/spark-submit"
DEFAULTS = REPOSITORY / "spark/spark-defaults.conf"
TOKEN = "SPARK_CONNECT_AUTHENTICATE_TOKEN"  # Spark's server and its clients read it


def start_spark(services: Services, folder: Path, settings: Path = DEFAULTS) -> str:
    """Return the value of SPARK_REMOTE if it is set. Otherwise start a server and return its address.

    A server that we start answers only clients with its token, because every user of this machine can reach its port.
    The token is put into this process's environment, which all processes that it starts inherit.

    folder    for the server's temporary files
    settings  of the server: a file of Spark properties
    """
    if remote := os.environ.get("SPARK_REMOTE"):
        return remote
    memory = os.environ.get("SPARK_DRIVER_MEMORY") or "2g"
    master = os.environ.get("SPARK_MASTER") or "local[*]"
    port = free_port()
    os.environ[TOKEN] = secrets.token_urlsafe(32)
    config = {
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": port,
        "spark.local.dir": folder / "spark",
        "spark.sql.warehouse.dir": folder / "warehouse",
    }
    if master.startswith("local"):
        config["spark.driver.host"] = "127.0.0.1"
        config["spark.sql.shuffle.partitions"] = 2 * (os.cpu_count() or 2)
        # Many small queries on two busy cores took a sixth less time than with G1, the default.
        config["spark.driver.extraJavaOptions"] = "-XX:+UseParallelGC"
    command = [str(SPARK_SUBMIT), "--master", master, "--driver-memory", memory]
    command += ["--load-spark-defaults", "--properties-file", str(settings)]
    for key, value in config.items():
        command += ["--conf", f"{key}={value}"]
    command += ["--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "spark-internal"]
    python = str(REPOSITORY / ".venv/jobs/bin/python")
    if not master.startswith("local"):  # the executors have another one
        python = os.environ.get("PYSPARK_PYTHON") or python
    services.start("spark", command, {**os.environ, "PYSPARK_PYTHON": python, "SPARK_LOCAL_IP": "127.0.0.1"})
    return f"sc://localhost:{port}"  # to any other name PySpark sends a token only over TLS


def is_listening(remote: str) -> bool:
    """Say whether a server answers at the address `remote`, written as in SPARK_REMOTE."""
    address = urlsplit(remote)
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((address.hostname or "127.0.0.1", address.port or 15002)) == 0
