"""Start a standalone Spark cluster on this machine: a master, two workers, and a Spark Connect server on them.

The workers have a Python environment of their own (`.venv/worker`) and run in folders of their own, so that nothing
works only because they share files with the jobs. They know what Spark sends them, and the object store.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from lake_state import REPOSITORY
from services import Services, free_port
from spark_server import is_listening, start_spark

WORKERS = 2
WORKER_MEMORY = "2g"
EXECUTOR_MEMORY = "1400m"
SPARK_HOME = "lib/python3.11/site-packages/pyspark"  # in an environment
WORKER_ENVIRONMENT = REPOSITORY / ".venv/worker"


def start_spark_cluster(services: Services, folder: Path) -> str:
    """Start the cluster. Return the address of its Connect server once it answers.

    folder  for what the workers write
    """
    settings = _write_settings(folder)
    master = f"spark://127.0.0.1:{free_port()}"
    home = REPOSITORY / ".venv/jobs" / SPARK_HOME
    command = [f"{home}/bin/spark-class", "org.apache.spark.deploy.master.Master", "--host", "127.0.0.1"]
    command += ["--port", master.rpartition(":")[2], "--webui-port", str(free_port())]
    env = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_HOME": str(home)}
    services.start("spark-master", [*command, "--properties-file", str(settings)], env)
    services.wait_until_ready("Spark's master", lambda: is_listening(master))
    for number in range(1, WORKERS + 1):
        _start_worker(services, folder / f"worker-{number}", f"spark-worker-{number}", master, settings)
    os.environ["SPARK_MASTER"] = master
    os.environ["PYSPARK_PYTHON"] = str(WORKER_ENVIRONMENT / "bin/python")
    remote = start_spark(services, folder, settings)
    services.wait_until_ready("Spark", lambda: is_listening(remote))
    return remote


def _start_worker(services: Services, folder: Path, name: str, master: str, settings: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    home = WORKER_ENVIRONMENT / SPARK_HOME
    env |= {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_LOCAL_DIRS": str(folder / "local"), "SPARK_HOME": str(home)}
    command = [f"{home}/bin/spark-class", "org.apache.spark.deploy.worker.Worker", master]
    command += ["--host", "127.0.0.1", "--cores", "1", "--memory", WORKER_MEMORY]
    command += ["--work-dir", str(folder / "applications")]
    command += ["--webui-port", str(free_port()), "--properties-file", str(settings)]
    services.start(name, command, env, cwd=folder)


def _write_settings(folder: Path) -> Path:
    """The settings of all of Spark's processes: those of the project, and a secret that they share.

    Without it, every user of this machine could run programs on the cluster.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "spark.authenticate": "true",
        "spark.authenticate.secret": secrets.token_urlsafe(32),
        "spark.driver.host": "127.0.0.1",
        "spark.executor.memory": EXECUTOR_MEMORY,
        "spark.worker.cleanup.enabled": "true",
        "spark.sql.shuffle.partitions": str(2 * WORKERS),
    }
    file = folder / "spark.conf"
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        stream.write((REPOSITORY / "spark/spark-defaults.conf").read_text())
        stream.writelines(f"{key} {value}\n" for key, value in settings.items())
    return file
