"""Show a DAG run on the terminal while it goes: finished tasks as lines, running ones with their output."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow_api import ENDED, Airflow
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

Task = dict[str, Any]
POLL = 0.7  # seconds between two looks: each costs the API server 0.05 s
QUIET = 10.0  # seconds between two lines of a running task where there is no terminal to redraw


class TaskFailed(Exception):
    """A task of a run failed: holds the sentence to show."""


def task_log(logs: Path, run_id: str, task: Task) -> Path:
    folder = logs / "dag_id=daily" / f"run_id={run_id}" / f"task_id={task['task_id']}"
    return folder / f"attempt={task['try_number']}.log"


def last_output(log: Path) -> str:
    """The last line that the job itself wrote into its task's log."""
    try:
        lines = log.read_bytes()[-20_000:].decode(errors="replace").splitlines()
    except OSError:
        return ""
    for line in reversed(lines):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if "SubprocessHook" in str(record.get("logger")) and not str(record["event"]).startswith(HOOK_TALK):
            said = str(record["event"]).split("\r")[-1]
            if not said.startswith("{"):  # the last line of a job is for programs
                return said
    return ""


HOOK_TALK = ("Command exited", "Output:", "Running command", "Tmp dir")


def seconds(task: Task) -> float:
    if not task["start_date"]:
        return 0.0
    end = datetime.fromisoformat(task["end_date"]) if task["end_date"] else datetime.now(UTC)
    return (end - datetime.fromisoformat(task["start_date"])).total_seconds()


class Watch:
    """Follows the runs of one `make run`, one day after the other."""

    def __init__(self, airflow: Airflow, logs: Path, console: Console, check: Callable[[], None]) -> None:
        self.airflow, self.logs, self.console, self.check = airflow, logs, console, check
        self.started = time.monotonic()

    def follow(self, day: str, run_id: str) -> None:
        """Return when the run has succeeded; raise TaskFailed when it has failed."""
        told: set[tuple[str, int, str]] = set()
        last_line: dict[str, float] = {}
        with Live(console=self.console, auto_refresh=False, transient=True) as live:
            while True:
                self.check()
                tasks = self.airflow.tasks(run_id)
                for task in tasks:
                    self._tell(day, run_id, task, told)
                running = [task for task in tasks if task["state"] == "running"]
                if self.console.is_terminal:
                    live.update(Group(*(self._line(day, run_id, task) for task in running)), refresh=True)
                else:
                    self._tick(day, run_id, running, last_line)
                if not running and (state := self.airflow.state(run_id)) in ENDED:
                    break
                time.sleep(POLL)
        if state == "failed":
            self._raise(day, run_id, tasks)

    def _tell(self, day: str, run_id: str, task: Task, told: set[tuple[str, int, str]]) -> None:
        mark = (task["task_id"], task["try_number"], str(task["state"]))
        if mark in told:
            return
        told.add(mark)
        if task["state"] == "success":
            self._print(day, task, "done", "green")
        if task["state"] == "skipped":
            said = last_output(task_log(self.logs, run_id, task))
            self._print(day, task, said if said.startswith("skipped: ") else "skipped: nothing to publish", "green")
        if task["state"] == "up_for_retry":
            cause = last_output(task_log(self.logs, run_id, task))
            self._print(day, task, f"will be tried again: {cause}", "yellow")

    def _print(self, day: str, task: Task, text: str, style: str) -> None:
        line = Text(f"{self._clock()}  {day}  {task['task_id']:<10}{seconds(task):6.1f} s  ")
        self.console.print(line.append(text, style), soft_wrap=True)

    def _line(self, day: str, run_id: str, task: Task) -> Text:
        said = last_output(task_log(self.logs, run_id, task))
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(f"{self._clock()}  {day}  ").append(f"{task['task_id']:<10}", "bold")
        return line.append(f"{seconds(task):6.1f} s  ").append(said, "dim")

    def _tick(self, day: str, run_id: str, running: list[Task], last_line: dict[str, float]) -> None:
        for task in running:
            now = time.monotonic()
            if now - last_line.setdefault(task["task_id"], now) >= QUIET:
                last_line[task["task_id"]] = now
                self.console.print(self._line(day, run_id, task), soft_wrap=True)  # whole: it goes to a file

    def _clock(self) -> str:
        minutes, rest = divmod(int(time.monotonic() - self.started), 60)
        return f"{minutes}:{rest:02d}"

    def _raise(self, day: str, run_id: str, tasks: list[Task]) -> None:
        for task in tasks:
            if task["state"] == "failed":
                log = task_log(self.logs, run_id, task)
                cause = last_output(log) or "it ended without a word"
                raise TaskFailed(f"{day}, task {task['task_id']}: {cause}\nIts log: {log}")
        raise TaskFailed(f"the run of {day} was marked failed; the scheduler's log may say why")
