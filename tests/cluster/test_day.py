"""`make cluster`: a day through Airflow on PostgreSQL, two Spark workers, an S3 store and MLflow's server."""

import os
import subprocess

import pyarrow.fs as pafs

from jobs import ingest
from jobs.lake import Lake
from jobs.lake.store import open_store
from jobs.release.releases import live_release
from jobs.settings.tree import Settings
from tests.cluster.conftest import DAY, FIRST, REPOSITORY, Ran


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


def test_airflow_finds_the_log_of_each_task_in_the_store(ran: Ran) -> None:
    store, root = open_store("s3://lake")
    files = store.get_file_info(pafs.FileSelector(f"{root}/airflow/logs", recursive=True))
    (log,) = (file.path for file in files if "task_id=ingest/attempt=1.log" in file.path)
    read = "import airflow_logs, sys; print(airflow_logs.REMOTE_TASK_LOG.read(sys.argv[1], None))"
    command = [str(REPOSITORY / ".venv/airflow/bin/python"), "-c", read, log.partition("airflow/logs/")[2]]
    env = os.environ | {"LAKE": "s3://lake", "PYTHONPATH": str(REPOSITORY / "bin")}
    answer = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert f"(['s3://{log}'], [" in answer.stdout
    assert "rows_out" in answer.stdout  # of the job's last line


def test_nobody_else_can_read_the_secrets(ran: Ran) -> None:
    for name in ("store/identity.json", "store/keys.json", "postgres/password", "spark/spark.conf"):
        assert (ran.folder / name).stat().st_mode & 0o077 == 0
