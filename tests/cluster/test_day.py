"""`make cluster`: a day through Airflow on PostgreSQL, two Spark workers, an S3 store and MLflow's server."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from object_store import start_object_store
from services import Services

from jobs import ingest
from jobs.lake import Lake
from jobs.lake.store import open_store
from jobs.release.releases import live_release
from jobs.settings.tree import Settings
from jobs.simulation.landing import write_landing
from tests import simulated
from tests.chain import SMALL

REPOSITORY = Path(__file__).resolve().parents[2]
DAY, FIRST = simulated.DAYS[-1], simulated.DAYS[0]


@dataclass(frozen=True)
class Ran:
    """What `make cluster` printed, the lake that it filled, its logs, and the folder that holds the services' files."""

    output: str
    lake: Lake
    landing: Path
    folder: Path


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    folder, landing = tmp_path_factory.mktemp("state"), tmp_path_factory.mktemp("landing")
    write_landing(landing, days=simulated.DAYS, faults=0.02, **simulated.SIZES)
    options = {**SMALL, "FROM": str(DAY), "TO": str(DAY), "PROFILE": "demo", "DATA": str(landing), "STATE": str(folder)}
    command = [str(REPOSITORY / ".venv/airflow/bin/python"), "bin/cluster.py"]
    env = {key: value for key, value in os.environ.items() if key not in ("SPARK_REMOTE", "SPARK_MASTER")}
    process = subprocess.run(command, cwd=REPOSITORY, env=env | options, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout + process.stderr
    (state,) = folder.iterdir()
    services = Services(folder / "logs")
    before = dict(os.environ)
    try:
        os.environ.update(start_object_store(services, state / "store", ("lake",)))
        yield Ran(process.stdout, Lake("s3://lake", run_id="test"), landing, state)
    finally:
        services.stop()
        os.environ.clear()
        os.environ.update(before)


def test_the_day_ends_in_a_release_with_lists_and_a_report(ran: Ran) -> None:
    release = live_release(ran.lake)
    assert release is not None
    assert release["day"] == DAY
    assert ran.lake.arrow("gold.recommendations").num_rows > 0
    assert f"Report: s3://lake/reports/{DAY}.html" in ran.output
    store, root = open_store("s3://lake")
    assert store.get_file_info(f"{root}/reports/{DAY}.html").size > 10_000


def test_the_events_are_those_of_the_same_day_on_one_machine(ran: Ran, lake: Lake, settings: Settings) -> None:
    ingest.run(lake, settings, DAY, data=ran.landing, since=FIRST)
    for table in ("silver.events", "silver.items"):
        columns = [name for name in lake.arrow(table).schema.names if name != "run_id"]
        query = f"SELECT {', '.join(columns)} FROM {table} ORDER BY ALL"
        assert ran.lake.query(query).equals(lake.query(query))


def test_both_workers_did_tasks(ran: Ran) -> None:
    for number in (1, 2):
        (log,) = ran.folder.glob(f"spark/worker-{number}/applications/*/*/stderr")
        assert "Finished task" in log.read_text()


def test_nobody_else_can_read_the_secrets(ran: Ran) -> None:
    for name in ("store/identity.json", "store/keys.json", "postgres/password", "spark/spark.conf"):
        assert (ran.folder / name).stat().st_mode & 0o077 == 0
