"""Start the processes that a run needs (Spark server, Airflow) and leave none of them behind.

Every process started here, and all it starts in turn, carries a token in its environment: that is how they
are found again, whatever process group or session they moved to. A guard, itself started here, holds one end
of a pipe; when this process ends in any way, even by SIGKILL, the pipe closes and the guard ends them all.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

import psutil

REPOSITORY = Path(__file__).resolve().parent.parent
SPARK_SUBMIT = REPOSITORY / ".venv/jobs/bin/spark-submit"
TOKEN = "SERVICES_TOKEN"


class ServiceError(Exception):
    """A service that did not start or ended early: one sentence that names its log."""


class Services:
    """The processes of one run."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.logs.mkdir(parents=True, exist_ok=True)
        self.token = uuid.uuid4().hex
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        command = [sys.executable, __file__, self.token]
        self.guard = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)

    def start(self, name: str, command: list[str], env: dict[str, str]) -> None:
        """Start a process in its own session, its output in `logs`/name.log."""
        # SPT_NOENV: Airflow renames its processes, which would overwrite the environment with the token.
        env = {**env, TOKEN: self.token, "SPT_NOENV": "1"}
        with open(self.log(name), "wb") as log:
            self.running[name] = subprocess.Popen(
                command,
                env=env,
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def check(self) -> None:
        """Raise ServiceError if a service ended."""
        for name, process in self.running.items():
            if process.poll() is not None:
                code = process.returncode
                raise ServiceError(f"{name} ended with code {code}; its log is {self.log(name)}")

    def stop(self) -> None:
        """End everything, and wait until it has ended."""
        end(self.token)
        if self.guard.stdin:
            self.guard.stdin.close()
        self.guard.wait()


def members(token: str) -> list[psutil.Process]:
    """The processes that carry the token."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(TOKEN) == token and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:  # ended meanwhile, or somebody else's
            continue
    return found


def end(token: str, patience: float = 3.0) -> None:
    """Ask every process of the token to end; kill what has not after `patience` seconds."""
    deadline = time.monotonic() + patience
    asked: set[int] = set()
    while alive := members(token):
        late = time.monotonic() > deadline
        for process in alive:
            if late or process.pid not in asked:
                asked.add(process.pid)
                try:
                    process.send_signal(signal.SIGKILL if late else signal.SIGTERM)
                except psutil.NoSuchProcess:
                    continue
        time.sleep(0.1)


def on_signals(action: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    """Do `action` on Ctrl-C, kill and hang-up; `nohup` still works."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if name != signal.SIGHUP or signal.getsignal(name) != signal.SIG_IGN:
            signal.signal(name, action)


def free_port() -> int:
    """A port that nobody uses, below those that the system hands out to others until the service listens there."""
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def start_spark(services: Services, state: Path) -> str:
    """The value of SPARK_REMOTE: as it is set, or of a Spark Connect server started here for all tasks of the run."""
    if remote := os.environ.get("SPARK_REMOTE"):
        return remote
    memory = os.environ.get("SPARK_DRIVER_MEMORY") or "1500m"
    master = os.environ.get("SPARK_MASTER") or "local[*]"
    port = free_port()
    config = {
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": port,
        "spark.local.dir": state / "spark",
        "spark.sql.warehouse.dir": state / "warehouse",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.shuffle.partitions": 4,
        "spark.databricks.delta.snapshotPartitions": 1,
        "spark.sql.session.timeZone": "UTC",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    command = [str(SPARK_SUBMIT), "--master", master, "--driver-memory", memory]
    local = {"spark.driver.host": "127.0.0.1"} if master.startswith("local") else {}
    for key, value in {**config, **local}.items():
        command += ["--conf", f"{key}={value}"]
    command += ["--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "spark-internal"]
    python = str(REPOSITORY / ".venv/jobs/bin/python")
    services.start("spark", command, {**os.environ, "PYSPARK_PYTHON": python, "SPARK_LOCAL_IP": "127.0.0.1"})
    return f"sc://127.0.0.1:{port}"


def listening(address: str) -> bool:
    """Whether something answers at `address`, written as in SPARK_REMOTE."""
    where = urlsplit(address)
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((where.hostname or "127.0.0.1", where.port or 15002)) == 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdin.read()
    end(sys.argv[1])
