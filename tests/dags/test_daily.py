"""The daily DAG as Airflow reads it, and one run of it by Airflow's scheduler."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from jobs.lake import Lake

REPOSITORY = Path(__file__).resolve().parents[2]
AIRFLOW_PYTHON = REPOSITORY / ".venv/airflow/bin/python"
LOGS = REPOSITORY / "tests/data/online_retail"

DESCRIBE_DAG = """
import json, sys
sys.path.insert(0, "dags")
import daily
from datetime import datetime, timezone
from airflow.timetables.interval import CronDataIntervalTimetable
import pendulum

dag = daily.dag
def rendered_day(params, logical_date):
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
    "task_limits": [task.execution_timeout.total_seconds() for task in dag.tasks if task.execution_timeout],
    "run_limit": dag.dagrun_timeout.total_seconds() if dag.dagrun_timeout else None,
    "max_active_runs": dag.max_active_runs,
    "catchup": dag.catchup,
    "scheduled_day": rendered_day({"day": None}, midnight),
    "chosen_day": rendered_day({"day": "2026-10-01"}, midnight),
    "profiles": dag.params.get_param("profile").schema["enum"],
    "heavy_modules": sorted({"torch", "pyspark", "pandas", "pyarrow", "deltalake"} & set(sys.modules)),
}))
"""

RUN_COMMANDS = """
import json, sys
sys.path.insert(0, "dags")
import daily

def outcome(command):
    operator = getattr(daily, sys.argv[2])(task_id="job", bash_command=command, env={}, append_env=True)
    try:
        return ["success", operator.execute({})]
    except BaseException as error:
        return [type(error).__name__, str(error)]

print(json.dumps([outcome(command) for command in json.loads(sys.argv[1])]))
"""


def run_in_airflow(code: str, home: Path, *arguments: str) -> Any:
    """Run Python code in Airflow's environment and parse the JSON that it prints last."""
    env = {**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__UNIT_TEST_MODE": "False"}
    command = [str(AIRFLOW_PYTHON), "-c", code, *arguments]
    process = subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def dag(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The DAG as Airflow reads it."""
    return dict(run_in_airflow(DESCRIBE_DAG, tmp_path_factory.mktemp("airflow")))


def test_the_tasks_run_in_the_order_that_the_docs_draw(dag: dict[str, Any]) -> None:
    drawn = re.findall(r'id="(\w+)--(\w+)"', (REPOSITORY / "docs/pictures/dag.svg").read_text())
    assert dag["edges"] == sorted(map(list, drawn))


def test_importing_the_dag_imports_nothing_heavy(dag: dict[str, Any]) -> None:
    assert dag["heavy_modules"] == []


def test_a_run_at_midnight_processes_the_day_that_just_ended(dag: dict[str, Any]) -> None:
    assert dag["scheduled_day"] == "2026-11-20"


def test_the_parameter_day_overrides_the_data_interval(dag: dict[str, Any]) -> None:
    assert dag["chosen_day"] == "2026-10-01"


def test_every_profile_in_the_folder_can_be_chosen(dag: dict[str, Any]) -> None:
    assert dag["profiles"] == [None, *sorted(file.stem for file in (REPOSITORY / "profiles").iterdir())]


def test_days_run_one_at_a_time_and_missed_ones_are_not_caught_up(dag: dict[str, Any]) -> None:
    assert dag["max_active_runs"] == 1
    assert dag["catchup"] is False


def test_a_task_that_hangs_ends_before_the_run_and_a_run_that_hangs_ends_before_the_next_day(
    dag: dict[str, Any],
) -> None:
    assert len(dag["task_limits"]) == len(dag["commands"])
    assert dag["run_limit"] == 24 * 3600
    tries = 1 + max(dag["retries"])
    assert tries * max(dag["task_limits"]) < dag["run_limit"]


def test_every_task_is_tried_again(dag: dict[str, Any]) -> None:
    assert min(dag["retries"]) >= 1


def test_tasks_that_use_a_gpu_share_a_pool(dag: dict[str, Any]) -> None:
    assert dag["gpu"] == [
        "align", "ask", "embed", "evaluate", "generate", "judge", "quantize", "recommend", "train", "two_tower",
    ]  # fmt: skip


def test_only_promote_updates_the_release_asset(dag: dict[str, Any]) -> None:
    assert dag["outlets"] == {"promote": ["sidereal://release"]}


def test_no_parameter_is_pasted_into_a_shell_command(dag: dict[str, Any]) -> None:
    assert not [command for command in dag["commands"] if "{{" in command]


def test_the_last_line_of_a_job_decides_whether_its_task_succeeds_or_is_skipped_or_fails(tmp_path: Path) -> None:
    mentions_skipping = '{"released": true, "reason": "\\"released\\": false, \\"skipped\\": \\"no\\""}'
    commands_and_states = {
        """echo 'reading'; echo '{"rows_in": 3}'""": "success",
        f"echo '{mentions_skipping}'": "success",
        """echo '{"skipped": "no new items"}'""": "AirflowSkipException",
        """echo '{"released": false, "reason": "too few rows"}'""": "AirflowSkipException",
        """echo '{"rows_in": 3}'; echo 'something else'""": "AirflowException",
        "echo '[3]'": "AirflowException",
        "true": "AirflowException",
        "echo 'the disk is full'; exit 2": "AirflowException",
        "echo 'there is no lake'; exit 1": "AirflowFailException",
    }
    outcomes = run_in_airflow(RUN_COMMANDS, tmp_path, json.dumps(list(commands_and_states)), "JobOperator")
    assert [state for state, _ in outcomes] == list(commands_and_states.values())
    messages = [message for _, message in outcomes]
    assert messages[0] == '{"rows_in": 3}'
    assert "must be a JSON object; it was: 'something else'" in messages[4]
    assert "the last line was: the disk is full" in messages[7]
    assert messages[8] == "there is no lake"


def test_a_wait_gives_its_worker_back_until_the_check_says_ready(tmp_path: Path) -> None:
    commands_and_states = {
        """echo 'waiting'; echo '{"ready": false, "reason": "no events", "seconds": 60}'""": "TaskDeferred",
        """echo '{"ready": true, "reason": "unchanged", "seconds": 0}'""": "success",
        "echo 'wait failed: the wait is over'; exit 1": "AirflowFailException",
    }
    outcomes = run_in_airflow(RUN_COMMANDS, tmp_path, json.dumps(list(commands_and_states)), "WaitOperator")
    assert [state for state, _ in outcomes] == list(commands_and_states.values())
    assert outcomes[2][1] == "wait failed: the wait is over"


@pytest.mark.timeout(600)
def test_a_day_goes_through_a_real_scheduler_to_a_release(tmp_path: Path) -> None:
    options = {"FROM": "2011-01-05", "TO": "2011-01-05", "PROFILE": "demo"}
    env = {**os.environ, **options, "LAKE": str(tmp_path / "lake"), "DATA": str(LOGS)}
    env["STATE"] = str(tmp_path / "state")
    command = [str(AIRFLOW_PYTHON), "bin/run.py"]
    process = subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout + process.stderr
    assert "Report: " in process.stdout
    assert (tmp_path / "lake/gold/releases/_delta_log").is_dir()
    recorded = Lake(tmp_path / "lake").arrow("ops.run_versions")
    assert len(set(recorded["dag_run"].to_pylist())) == 1  # all tasks read what this run began with
    assert "wait" in process.stdout
    assert list(tmp_path.glob("state/*/logs/triggerer.log"))
