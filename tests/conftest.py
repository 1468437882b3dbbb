"""One Spark Connect server for the whole run, as in `make cluster`; one empty lake for each test.

`TEST_SPARK=classic` gives each process a Spark session of its own instead, for the tests marked `classic`.
"""

import os
import shutil
import sys
import tempfile
from datetime import date
from pathlib import Path

import pytest

os.environ.setdefault("PROFILE", "demo")
os.environ.setdefault("SPARK_MASTER", "local[2]")
if os.environ.get("TEST_SPARK") == "classic":  # this JVM lives too briefly to earn back its second compiler's time
    os.environ.setdefault("SPARK_SUBMIT_OPTS", "-XX:TieredStopAtLevel=1")

from services import Services
from spark_server import start_spark

from jobs import ingest
from jobs.lake import JobResult, Lake
from jobs.settings.tree import Settings, load_settings
from jobs.simulation.landing import write_landing
from tests import chain, simulated

DATA = Path(__file__).parent / "data"
RETAIL_FIRST, RETAIL_LAST = date(2011, 1, 4), date(2011, 1, 9)
SERVER = pytest.StashKey[Services]()


def pytest_configure(config: pytest.Config) -> None:
    """Start the Spark server, whose address worker processes inherit. The models' tests alone need none."""
    if os.environ.get("TEST_SPARK") == "classic" or os.environ.get("SPARK_REMOTE"):
        return
    if config.option.collectonly or all("tests/models" in path for path in config.args):
        return
    folder = Path(tempfile.mkdtemp(prefix="sidereal-tests-"))
    config.stash[SERVER] = Services(folder)
    os.environ["SPARK_REMOTE"] = start_spark(config.stash[SERVER], folder)


def pytest_sessionfinish() -> None:
    """Close the Spark session while its server still runs; afterwards it would wait minutes for an answer."""
    if "pyspark.sql" in sys.modules and (session := sys.modules["pyspark.sql"].SparkSession.getActiveSession()):
        session.stop()


def pytest_unconfigure(config: pytest.Config) -> None:
    if SERVER in config.stash:
        config.stash[SERVER].stop()
        shutil.rmtree(config.stash[SERVER].logs)


SHARED = (
    "ran",
    "retail",
    "landed",
    "three_days",
    "shown",
    "bought",
    "dag",
    "corrected",
    "store",
)  # fixtures that are slow to make


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests that share a slow fixture in one process, and first, because they take longest."""
    for item in items:
        if shared := [name for name in SHARED if name in getattr(item, "fixturenames", ())]:
            item.add_marker(pytest.mark.xdist_group(shared[0]))
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


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
    """A lake with the slice of online_retail landed, and the result of ingest; no test writes to it."""
    lake = Lake(tmp_path_factory.mktemp("retail") / "lake", run_id="test")
    lake.create()
    return lake, ingest.run(lake, load_settings(), RETAIL_LAST, data=DATA / "online_retail", since=RETAIL_FIRST)


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> chain.Chain:
    """Simulated days through every job; a test that writes to this lake leaves the newest release a release."""
    return chain.make(tmp_path_factory.mktemp("chain"))


@pytest.fixture(scope="session")
def landing(tmp_path_factory: pytest.TempPathFactory) -> simulated.Landing:
    """A landing folder of a few simulated days, and the summary that the simulator wrote; no test writes to it."""
    out = tmp_path_factory.mktemp("landing")
    return out, write_landing(out, days=simulated.DAYS, faults=0.02, **simulated.SIZES)
