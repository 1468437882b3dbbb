"""Tests of several services together: `make cluster-test`. They take minutes, so `make test` leaves them out."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from object_store import start_object_store
from services import Services

from jobs.lake import Lake
from jobs.simulation.landing import write_landing
from tests import simulated
from tests.chain import SMALL

collect_ignore_glob = [] if os.environ.get("CLUSTER_TESTS") else ["test_*.py"]
REPOSITORY = Path(__file__).resolve().parents[2]
Process = subprocess.Popen[bytes]
DAY, FIRST = simulated.DAYS[-1], simulated.DAYS[0]


@dataclass(frozen=True)
class Ran:
    """What `make cluster` printed, the lake that it filled, its logs, and the folder that holds the services' files."""

    output: str
    lake: Lake
    landing: Path
    folder: Path


@contextmanager
def run_on_cluster(landing: Path, folder: Path, watch: Callable[[Process], None] = lambda _: None) -> Iterator[Ran]:
    """Run a day with `make cluster`, then start its store again, to which the environment leads.

    folder  for everything that the services store
    watch   is called with the command's process while it runs
    """
    options = {**SMALL, "FROM": str(DAY), "TO": str(DAY), "PROFILE": "demo", "DATA": str(landing), "STATE": str(folder)}
    command = [str(REPOSITORY / ".venv/airflow/bin/python"), "bin/cluster.py"]
    env = {key: value for key, value in os.environ.items() if key not in ("SPARK_REMOTE", "SPARK_MASTER")}
    with open(folder / "output", "w+") as output:
        process = subprocess.Popen(command, cwd=REPOSITORY, env=env | options, stdout=output, stderr=output)
        try:
            watch(process)
            code = process.wait()
        finally:
            process.terminate()
            process.wait()
            output.seek(0)
            text = output.read()
            print(text)
    assert code == 0
    (state,) = (path for path in folder.iterdir() if path.is_dir())
    services = Services(folder / "logs")
    before = dict(os.environ)
    try:
        os.environ.update(start_object_store(services, state / "store", ("lake",)))
        yield Ran(text, Lake("s3://lake", run_id="test"), landing, state)
    finally:
        services.stop()
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """An undisturbed day."""
    landing = tmp_path_factory.mktemp("landing")
    write_landing(landing, days=simulated.DAYS, faults=0.02, **simulated.SIZES)
    with run_on_cluster(landing, tmp_path_factory.mktemp("state")) as ran:
        yield ran
