"""Services die or do not answer while a day runs: the day ends in the tables of an undisturbed day."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.chain import content
from tests.cluster.conftest import Process, Ran, run_on_cluster

TIMEOUT = 1200.0  # seconds until a task must begin
SECONDS_AWAY = 60  # of the store


def kill(process: psutil.Process) -> None:
    process.kill()


def pause(process: psutil.Process) -> None:
    process.suspend()
    time.sleep(SECONDS_AWAY)
    process.resume()


LOGS = ("bronze.landed_files", "ops.run_versions")  # they say when files came, and which runs read which versions
# While this task runs -> part of the command of the process, and what happens to it.
FAULTS: dict[str, tuple[str, Callable[[psutil.Process], None]]] = {
    "ingest": ("org.apache.spark.deploy.worker.Worker", kill),
    "samples": ("weed server", pause),
    "quantize": ("postgres -D", kill),
    "train": ("airflow scheduler", kill),
}


def disturb(command: Process, folder: Path) -> None:
    """Do all faults, each a few seconds after its task has begun."""
    for task, (name, do) in FAULTS.items():
        deadline = time.monotonic() + TIMEOUT
        while not list(folder.glob(f"*/airflow/logs/dag_id=daily/run_id=*/task_id={task}/attempt=1.log")):
            assert time.monotonic() < deadline, f"{task} has not begun"
            assert command.poll() is None, "the command has ended"
            time.sleep(0.2)
        time.sleep(4)
        children = psutil.Process(command.pid).children()
        found = [child for child in children if name in " ".join(child.cmdline())]
        assert found, [child.cmdline() for child in children]
        do(found[0])


@pytest.mark.timeout(2 * TIMEOUT)
def test_a_day_with_faults_ends_in_the_tables_of_an_undisturbed_day(ran: Ran, tmp_path: Path) -> None:
    expected = content(ran.lake)
    with run_on_cluster(ran.landing, tmp_path, lambda command: disturb(command, tmp_path)) as disturbed:
        tables = content(disturbed.lake)
    assert [name for name in expected if tables[name] != expected[name] and name not in LOGS] == []
    for service in ("spark-worker-1", "postgres", "scheduler"):
        assert f"{service} ended with code -{int(signal.SIGKILL)} and is started again" in disturbed.output
