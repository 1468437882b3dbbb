"""Show on the terminal how a DAG run goes: a line for each finished task, and the last output of running tasks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow_api import END_STATES, AirflowClient
from printable import printable
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

Task = dict[str, Any]
POLL_SECONDS = 0.7  # between two calls, each of which takes the API server 0.05 s
LINE_SECONDS = 10.0  # between two lines of a running task, if the output goes to a file
HOOK_MESSAGES = ("Command exited", "Output:", "Running command", "Tmp dir")


class TaskFailed(Exception):
    """A task failed. The message names the cause and the log."""


def task_log(logs: Path, run_id: str, task: Task) -> Path:
    folder = logs / "dag_id=daily" / f"run_id={run_id}" / f"task_id={task['task_id']}"
    return folder / f"attempt={task['try_number']}.log"


def last_output(log: Path) -> str:
    """The last line that the job itself wrote, without its JSON result. Empty if there is none."""
    try:
        records = log.read_bytes()[-20_000:].decode(errors="replace").splitlines()
    except OSError:
        return ""
    for line in reversed(records):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        event = str(record.get("event"))
        if "SubprocessHook" in str(record.get("logger")) and not event.startswith(HOOK_MESSAGES):
            output = event.split("\r")[-1]
            if not output.startswith("{"):
                return printable(output)
    return ""


def seconds_run(task: Task) -> float:
    if not task["start_date"]:
        return 0.0
    end = datetime.fromisoformat(task["end_date"]) if task["end_date"] else datetime.now(UTC)
    return (end - datetime.fromisoformat(task["start_date"])).total_seconds()


class RunProgress:
    """Shows the DAG runs of one `make run`, one day after the other."""

    def __init__(self, airflow: AirflowClient, logs: Path, console: Console, check: Callable[[], None]) -> None:
        self.airflow, self.logs, self.console, self.check_services = airflow, logs, console, check
        self.started = time.monotonic()

    def follow(self, day: str, run_id: str) -> None:
        """Return when the run has succeeded. Raise TaskFailed when it has failed."""
        printed: set[tuple[str, int, str]] = set()
        last_printed: dict[str, float] = {}
        with Live(console=self.console, auto_refresh=False, transient=True) as live:
            while True:
                self.check_services()
                tasks = self.airflow.task_instances(run_id)
                for task in tasks:
                    self._print_new_state(day, run_id, task, printed)
                running = [task for task in tasks if task["state"] in ("running", "deferred")]
                if self.console.is_terminal:
                    live.update(Group(*(self._running_line(day, run_id, task) for task in running)), refresh=True)
                else:
                    self._print_running(day, run_id, running, last_printed)
                if not running and (state := self.airflow.run_state(run_id)) in END_STATES:
                    break
                time.sleep(POLL_SECONDS)
        if state == "failed":
            self._raise_failure(day, run_id, tasks)

    def _print_new_state(self, day: str, run_id: str, task: Task, printed: set[tuple[str, int, str]]) -> None:
        state = (task["task_id"], task["try_number"], str(task["state"]))
        if state in printed:
            return
        printed.add(state)
        if task["state"] == "success":
            self._print_line(day, task, "done", "green")
        if task["state"] == "skipped":
            output = last_output(task_log(self.logs, run_id, task))
            reason = output if output.startswith("skipped: ") else "skipped: nothing to publish"
            self._print_line(day, task, reason, "green")
        if task["state"] == "up_for_retry":
            cause = last_output(task_log(self.logs, run_id, task))
            self._print_line(day, task, f"failed, will try again: {cause}", "yellow")

    def _print_line(self, day: str, task: Task, text: str, style: str) -> None:
        line = Text(f"{self._elapsed()}  {day}  {task['task_id']:<10}{seconds_run(task):6.1f} s  ")
        self.console.print(line.append(text, style), soft_wrap=True)

    def _running_line(self, day: str, run_id: str, task: Task) -> Text:
        output = last_output(task_log(self.logs, run_id, task))
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(f"{self._elapsed()}  {day}  ").append(f"{task['task_id']:<10}", "bold")
        return line.append(f"{seconds_run(task):6.1f} s  ").append(output or "starting", "dim")

    def _print_running(self, day: str, run_id: str, running: list[Task], last_printed: dict[str, float]) -> None:
        """Print a line for each running task, at most one every LINE_SECONDS."""
        for task in running:
            moment = time.monotonic()
            if moment - last_printed.setdefault(task["task_id"], moment) >= LINE_SECONDS:
                last_printed[task["task_id"]] = moment
                self.console.print(self._running_line(day, run_id, task), soft_wrap=True)

    def _elapsed(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
        return f"{minutes}:{seconds:02d}"

    def _raise_failure(self, day: str, run_id: str, tasks: list[Task]) -> None:
        for task in tasks:
            if task["state"] == "failed":
                log = task_log(self.logs, run_id, task)
                cause = last_output(log) or "it ended without a message"
                raise TaskFailed(f"{day}, task {task['task_id']}: {cause}\nIts log: {log}")
        raise TaskFailed(f"the run of {day} is marked as failed, but no task failed; the scheduler's log may say why")
