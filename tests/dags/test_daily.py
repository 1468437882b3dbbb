"""The daily DAG, as Airflow's own environment sees it, and one run of it through Airflow's own scheduler."""

import json
import os
import re
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
AIRFLOW_PYTHON = REPOSITORY / ".venv/airflow/bin/python"
SLICE = REPOSITORY / "tests/data/online_retail"

LOOK = """
import json, sys
sys.path.insert(0, "dags")
import daily
from datetime import datetime, timezone
from airflow.timetables.interval import CronDataIntervalTimetable
import pendulum

dag = daily.dag
def day(params, logical_date):
    interval = CronDataIntervalTimetable("@daily", "UTC").infer_manual_data_interval(run_after=logical_date)
    context = {"params": params, "data_interval_start": interval.start}
    return dag.get_task("ingest").render_template(daily.ENVIRONMENT["DAY"], context, dag.get_template_env())

midnight = pendulum.datetime(2026, 11, 21)
print(json.dumps({
    "edges": sorted([task.task_id, down] for task in dag.tasks for down in task.downstream_task_ids),
    "gpu": sorted(task.task_id for task in dag.tasks if task.pool == "gpu"),
    "outlets": {task.task_id: [asset.name for asset in task.outlets] for task in dag.tasks if task.outlets},
    "commands": [task.bash_command for task in dag.tasks],
    "retries": [task.retries for task in dag.tasks],
    "max_active_runs": dag.max_active_runs,
    "catchup": dag.catchup,
    "scheduled_day": day({"day": None}, midnight),
    "given_day": day({"day": "2026-10-01"}, midnight),
    "heavy": sorted({"torch", "pyspark", "pandas", "pyarrow", "deltalake"} & set(sys.modules)),
}))
"""


@pytest.fixture(scope="module")
def dag(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the DAG file holds, told by a process of Airflow's environment."""
    home = tmp_path_factory.mktemp("airflow")
    env = {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__UNIT_TEST_MODE": "False"}
    command = [str(AIRFLOW_PYTHON), "-c", LOOK]
    told = subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    return dict(json.loads(told.stdout.splitlines()[-1]))


def test_the_tasks_stand_in_the_order_that_the_readme_draws(dag: dict[str, Any]) -> None:
    drawn = re.search(r"```mermaid\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    assert drawn
    edges: list[list[str]] = []
    for line in (line.strip() for line in drawn[1].splitlines() if "-->" in line):
        stages = [[name.strip() for name in stage.split("&")] for stage in line.split("-->")]
        edges += [[a, b] for left, right in pairwise(stages) for a in left for b in right]
    assert dag["edges"] == sorted(edges)


def test_importing_the_dag_imports_nothing_heavy(dag: dict[str, Any]) -> None:
    assert dag["heavy"] == []


def test_a_run_at_midnight_processes_the_day_that_just_ended(dag: dict[str, Any]) -> None:
    assert dag["scheduled_day"] == "2026-11-20"


def test_a_given_day_goes_before_the_interval(dag: dict[str, Any]) -> None:
    assert dag["given_day"] == "2026-10-01"


def test_days_run_one_at_a_time_and_missed_ones_are_not_caught_up(dag: dict[str, Any]) -> None:
    assert dag["max_active_runs"] == 1
    assert dag["catchup"] is False


def test_every_task_is_tried_again(dag: dict[str, Any]) -> None:
    assert min(dag["retries"]) >= 1


def test_tasks_that_use_a_gpu_share_a_pool(dag: dict[str, Any]) -> None:
    assert dag["gpu"] == ["align", "ask", "embed", "evaluate", "judge", "quantize", "recommend", "train", "two_tower"]


def test_only_promote_marks_the_release(dag: dict[str, Any]) -> None:
    assert dag["outlets"] == {"promote": ["sidereal://release"]}


def test_no_parameter_is_pasted_into_a_shell_command(dag: dict[str, Any]) -> None:
    assert not [command for command in dag["commands"] if "{{" in command]


@pytest.mark.timeout(600)
def test_a_day_goes_through_a_real_scheduler_to_a_release(tmp_path: Path) -> None:
    day = {"FROM": "2011-01-05", "TO": "2011-01-05", "PROFILE": "demo"}
    env = {**os.environ, **day, "LAKE": str(tmp_path / "lake"), "DATA": str(SLICE)}
    env["STATE"] = str(tmp_path / "state")
    command = [str(AIRFLOW_PYTHON), "bin/run.py"]
    done = subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Report: " in done.stdout
    assert (tmp_path / "lake/gold/releases/_delta_log").is_dir()
