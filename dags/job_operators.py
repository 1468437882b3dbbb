"""Operators of the DAGs: they run jobs with the jobs' Python, which is not Airflow's."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

REPOSITORY = Path(__file__).resolve().parent.parent
JOBS_PYTHON = ".venv/jobs/bin/python"


class JobOperator(BashOperator):
    """Run one job. Its last line of output is one JSON object if it succeeded, and the cause if it failed.

    Exit code 1 means that a person must correct something, so Airflow does not try the task again.
    """

    def execute(self, context: Context) -> str:
        return self.run_job(context)

    def run_job(self, context: Context) -> str:
        """Run the job and return its last line."""
        command = ["bash", "-c", str(self.bash_command)]
        outcome = self.subprocess_hook.run_command(command, env=self.get_env(context), cwd=self.cwd)
        last_line = outcome.output  # of standard output and standard error together
        if outcome.exit_code == 1:
            raise AirflowFailException(last_line)
        if outcome.exit_code != 0:
            raise AirflowException(f"exit code {outcome.exit_code}; the last line was: {last_line}")
        result = parse_result(last_line)
        if result.get("released") is False or "skipped" in result:
            raise AirflowSkipException(last_line)
        return last_line


class WaitOperator(JobOperator):
    """Run a check again and again until its result says `ready`. In between the task is deferred: no worker is busy."""

    def execute(self, context: Context) -> str:
        return self.look(context)

    def look(self, context: Context, event: Any = None) -> str:
        """Run the check once. Airflow calls this method again after the wait, with the trigger's event."""
        last_line = self.run_job(context)
        result = parse_result(last_line)
        if not result["ready"]:
            self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=result["seconds"])), method_name="look")
        return last_line


def parse_result(last_line: str) -> dict[str, Any]:
    """Read the JSON object that a successful job prints as its last line."""
    try:
        result = json.loads(last_line)
    except ValueError:
        result = None
    if not isinstance(result, dict):
        raise AirflowException(f"the job succeeded, but its last line must be a JSON object; it was: {last_line!r}")
    return result
