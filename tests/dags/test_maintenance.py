"""The weekly DAG as Airflow reads it."""

import subprocess
import sys
from pathlib import Path

from tests.dags.test_daily import run_in_airflow

DESCRIBE = """
import json
from pathlib import Path
from airflow.dag_processing.dagbag import BundleDagBag

bag = BundleDagBag(dag_folder="dags", bundle_path=Path("dags").resolve(), bundle_name="dags")
(task,) = bag.dags["maintenance"].tasks
print(json.dumps([sorted(bag.dags), list(bag.import_errors.values()), task.bash_command, task.env["DAY"]]))
"""


def test_airflow_reads_both_dags_and_the_weekly_one_runs_maintain(tmp_path: Path) -> None:
    dags, errors, command, day = run_in_airflow(DESCRIBE, tmp_path)
    assert (dags, errors) == (["daily", "maintenance"], [])
    assert command == 'exec .venv/jobs/bin/python -m jobs.maintain --day "$DAY"'
    assert day == "{{ dag_run.run_after | ds }}"
    shown = subprocess.run([sys.executable, "-m", "jobs.maintain", "--help"], capture_output=True, text=True)
    assert "--day" in shown.stdout
