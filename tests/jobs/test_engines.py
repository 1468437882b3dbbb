"""DuckDB makes the tables of small logs and Spark those of large ones: the same tables, of real and simulated logs."""

import shutil
from datetime import date
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import ingest, pairs, samples
from jobs.lake import JobResult, Lake, checks
from jobs.lake.staging import Staging
from jobs.landing import histories
from jobs.settings.tree import Settings, load_settings
from tests import simulated
from tests.conftest import RETAIL_FIRST, RETAIL_LAST
from tests.jobs.lake_rows import put_histories


def copy(lake: Lake, folder: Path) -> Lake:
    return Lake(shutil.copytree(lake.root, folder), run_id="copy")


def use_spark(patch: pytest.MonkeyPatch) -> None:
    for module in (pairs, samples):
        patch.setattr(module, "SPARK_FROM_ROWS", 0)
    patch.setattr(checks, "MANY_ROWS", 0)


def rows(lake: Lake, table: str) -> pa.Table:
    return lake.query(f"SELECT * FROM {table} ORDER BY ALL")


def run(job: ModuleType, lake: Lake, settings: Settings, first: date, last: date) -> pa.Table:
    """The table of a job after it ran for these days."""
    if job is samples:
        samples.run(lake, settings, last, since=first)
        return rows(lake, "gold.samples")
    pairs.run(lake, settings, last)
    return rows(lake, "silver.item_pairs")


@pytest.fixture(scope="module")
def shop(landing: simulated.Landing, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Simulated impressions, clicks and purchases."""
    lake = Lake(tmp_path_factory.mktemp("shop") / "lake", run_id="test")
    lake.create()
    ingest.run(lake, load_settings(), simulated.DAYS[-1], data=landing[0], since=simulated.DAYS[0])
    return lake


LOGS = {"shop": simulated.DAYS, "retail": (RETAIL_FIRST, RETAIL_LAST)}
CASES = [
    pytest.param(job, log, marks=pytest.mark.classic if (job, log) == (pairs, "retail") else ())
    for job in (pairs, samples)
    for log in LOGS
]


@pytest.mark.parametrize(("job", "log"), CASES)
def test_both_engines_make_the_same_tables(
    job: ModuleType,
    log: str,
    request: pytest.FixtureRequest,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    landed = request.getfixturevalue(log)
    lake = landed if isinstance(landed, Lake) else landed[0]
    few = settings.pairs.model_copy(update={"users_per_item": 5, "items_per_user": 8})  # hashes then choose users
    settings = settings.model_copy(update={"pairs": few})
    days = LOGS[log][0], LOGS[log][-1]
    monkeypatch.setattr(pairs, "ITEMS_IN_PROCESS", 20)  # so DuckDB makes the lists of users in parts
    small, large = copy(lake, tmp_path / "small"), copy(lake, tmp_path / "large")
    expected = run(job, small, settings, *days)
    assert expected.num_rows > 100
    use_spark(monkeypatch)
    assert run(job, large, settings, *days).equals(expected)


def test_both_engines_make_the_same_histories_in_the_order_of_users(
    retail: tuple[Lake, JobResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = copy(retail[0], tmp_path / "small"), copy(retail[0], tmp_path / "large")
    days = sorted(large.partition_days("silver.events"))
    monkeypatch.setattr(histories, "SPARK_FROM_ROWS", 0)
    for lake in (small, large):
        with Staging(lake) as staging:
            histories.stage_histories(lake, staging, days, RETAIL_LAST)
        monkeypatch.setattr(histories, "SPARK_FROM_ROWS", 1_000_000)
        users = [pq.read_table(file)["user_id"].to_pylist() for file in lake.delta("silver.histories").file_uris()]
        assert all(of_file == sorted(of_file) for of_file in users)
    assert rows(small, "silver.histories").num_rows > 1000
    assert rows(small, "silver.histories").equals(rows(large, "silver.histories"))


def test_both_engines_make_the_same_samples_of_ratings(
    retail: tuple[Lake, JobResult], settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = copy(retail[0], tmp_path / "small")
    events = small.arrow("silver.events")
    stars = pa.array([1.0 + n % 5 if n % 7 else None for n in range(events.num_rows)])
    kinds = pa.array(["rating"] * events.num_rows)
    for name, column in (("value", stars), ("event", kinds)):
        events = events.set_column(events.column_names.index(name), name, column)
    small.replace("silver.events", events)
    put_histories(small)
    large = copy(small, tmp_path / "large")
    expected = run(samples, small, settings, RETAIL_FIRST, RETAIL_LAST)
    assert set(expected["like"].to_pylist()) == {0, 1}
    use_spark(monkeypatch)
    assert run(samples, large, settings, RETAIL_FIRST, RETAIL_LAST).equals(expected)
