"""One Spark session for each process, one empty lake for each test."""

import os
from datetime import date
from pathlib import Path

import pytest

os.environ.setdefault("PROFILE", "demo")
os.environ.setdefault("SPARK_MASTER", "local[2]")
# A JVM of few rows never earns back what its second compiler takes: a first ingest is a third shorter without.
os.environ.setdefault("SPARK_SUBMIT_OPTS", "-XX:TieredStopAtLevel=1")

from jobs import ingest
from jobs.lake import JobResult, Lake
from jobs.settings.tree import Settings, load_settings
from jobs.simulation.landing import write_landing
from tests import chain, simulated

DATA = Path(__file__).parent / "data"
RETAIL_FIRST, RETAIL_LAST = date(2011, 1, 4), date(2011, 1, 9)


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Mark about half of the tests by the time they take, so that `make test` runs two processes, each share once."""
    for item in items:
        days = not {"ran", "retail"}.isdisjoint(item.fixturenames)
        if days or "dags" in item.path.parts or item.path.stem == "test_samples":
            item.add_marker("days")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty lake in a temporary folder; its Spark session is the same for all tests."""
    lake = Lake(tmp_path / "lake", run_id="test")
    lake.create()
    return lake


@pytest.fixture
def settings() -> Settings:
    return load_settings()


@pytest.fixture(scope="session")
def retail(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, JobResult]:
    """The slice of online_retail as it was landed, and what was told of it; no test writes to it."""
    lake = Lake(tmp_path_factory.mktemp("retail") / "lake", run_id="test")
    lake.create()
    return lake, ingest.run(lake, load_settings(), RETAIL_LAST, data=DATA / "online_retail", since=RETAIL_FIRST)


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> chain.Chain:
    """Simulated days through every job; a test that writes to this lake leaves the newest release a release."""
    return chain.make(tmp_path_factory.mktemp("chain"))


@pytest.fixture(scope="session")
def landing(tmp_path_factory: pytest.TempPathFactory) -> simulated.Landing:
    """A few simulated days as a landing folder, and what its summary says; no test writes to it."""
    out = tmp_path_factory.mktemp("landing")
    return out, write_landing(out, days=simulated.DAYS, faults=0.02, **simulated.SIZES)
