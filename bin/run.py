"""Run the daily DAG for some days through Airflow's scheduler and show how it goes: `make run`.

    LAKE     where the tables are (default lake/)
    DATA     a folder of logs in the landing format; without it, 10 days are simulated
    FROM TO  the days to run (default: the last 3 that have events); the first run also reads the history before them
    PROFILE  demo, small or gpu (default: demo for simulated logs, small for DATA)

If you stop it (Ctrl-C, kill, even kill -9), no process stays behind. The next call starts with the first day again, and
reuses the vectors and verdicts that were saved.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import FrameType

import httpx
from airflow_api import AirflowClient
from airflow_server import start_airflow
from lake_state import LakeState, landing_address
from rich.console import Console
from run_job import UserError, run_job
from run_progress import RunProgress, TaskFailed
from services import ServiceError, Services, free_port, on_signals
from spark_server import is_listening
from summary import print_summary

SIMULATED_LAST_DAY, SIMULATED_DAYS = "2026-11-20", "10"
DAYS_TO_RUN = 3
START_AGAIN = "start it again: it begins with the first day, and reuses saved vectors and verdicts"


def simulate_logs(folder: Path, console: Console) -> None:
    """Write the simulated logs, unless an earlier run has done so. They are the same every time."""
    if not (folder / "complete").exists():
        console.print(f"Simulating {SIMULATED_DAYS} days of logs in {folder} ...", soft_wrap=True)
        run_job("simulate", "--day", SIMULATED_LAST_DAY, "--days", SIMULATED_DAYS, "--out", str(folder))
        (folder / "complete").touch()


def choose_days(days: list[str], first: str | None, last: str | None) -> tuple[list[str], str | None]:
    """Choose the days to run.

    days     all days that have events, sorted
    returns  the chosen days, and the first day of the history before them (None: there is no history)
    raises   UserError if no day lies between `first` and `last`
    """
    chosen = [day for day in days if (not first or day >= first) and (not last or day <= last)]
    if not chosen:
        existing = f"the logs have events from {days[0]} to {days[-1]}" if days else "the logs have no events at all"
        raise UserError(f"there are no events between FROM={first or ''} and TO={last or ''}: {existing}")
    if not first:
        chosen = chosen[-DAYS_TO_RUN:]
    return chosen, days[0] if days[0] < chosen[0] else None


def read_day(name: str) -> str | None:
    """The day in the environment variable `name`, None if it is not set. Raises UserError if it is not a day."""
    text = os.environ.get(name)
    if text:
        try:
            date.fromisoformat(text)
        except ValueError:
            raise UserError(f"{name}={text} is not a day; write it as 2011-11-01") from None
    return text or None


def run(state: LakeState, services: Services, console: Console) -> None:
    """Start Airflow, run the chosen days and print the results."""
    started = time.monotonic()
    data = os.environ.get("DATA")
    profile = os.environ.get("PROFILE") or ("small" if data else "demo")
    first, last = read_day("FROM"), read_day("TO")
    if first and last and first > last:
        raise UserError(f"FROM={first} is after TO={last}; exchange them")
    landing = landing_address(data or str(state.landing))
    if data and "://" not in landing and not os.path.isdir(landing):
        raise UserError(f"DATA={data} is not a folder; choose a folder of logs in the landing format (see README)")
    os.environ["PROFILE"] = profile
    run_job("settings")
    console.print("Starting Airflow ...")
    if not data:
        simulate_logs(state.landing, console)
    days, since = choose_days(json.loads(run_job("landing.days", "--data", landing)), first, last)
    # Scheduled runs stay off: this process alone decides which days run. `make ui` finds the same logs and tables.
    extra_env = {"AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False"}
    airflow = start_airflow(services, state, "127.0.0.1", free_port(), extra_env)
    if remote := os.environ.get("SPARK_REMOTE"):
        services.wait_until_ready("Spark", lambda: is_listening(remote))
    console.print(f"Airflow started in {time.monotonic() - started:.0f} s.")
    console.print(f"Running these days, one after the other: {', '.join(days)}.", soft_wrap=True)
    if since:
        console.print(f"The first run also reads the history since {since}.", soft_wrap=True)
    params = {"data": landing, "profile": profile, "since": since}
    run_days(airflow, state, services, console, days, params)
    print_summary(json.loads(run_job("reporting.summary", "--days", *days)), console)


def run_days(
    airflow: AirflowClient,
    state: LakeState,
    services: Services,
    console: Console,
    days: list[str],
    params: dict[str, str | None],
) -> None:
    """Trigger one DAG run for each day, in order. Stop at the first that fails."""
    for run_id in airflow.unfinished_runs():
        airflow.fail_run(run_id)
    was_paused = airflow.is_paused()
    airflow.set_paused(False)
    progress = RunProgress(airflow, state.airflow_home / "logs", console, services.check)
    try:
        for day in days:
            run_id = f"{day}__{int(time.time())}"
            airflow.trigger_run(run_id, {**params, "day": day})
            progress.follow(day, run_id)
            params = {**params, "since": None}
    finally:
        airflow.set_paused(was_paused)


def interrupt(signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(signum).name)


def run_command(name: str, lake: str, work: Callable[[LakeState, Services, Console], None], restarts: int = 0) -> int:
    """Do the work of a command such as `make run`, then stop all services. Returns the exit code."""
    on_signals(interrupt)
    console = Console(highlight=False)
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    state = LakeState(lake)
    os.environ["LAKE"] = state.lake
    state.lock(name)
    services = Services(state.service_logs, restarts)
    try:
        work(state, services, console)
    except (UserError, ServiceError, TaskFailed) as error:
        errors.print(f"{name}: {error}", markup=False)
        return 1
    except httpx.HTTPError as error:
        cause = str(error) or type(error).__name__
        errors.print(f"{name}: Airflow did not answer ({cause}); {START_AGAIN}", markup=False)
        return 1
    except KeyboardInterrupt:
        errors.print(f"{name}: stopped; {START_AGAIN}", markup=False)
        return 130
    finally:
        on_signals(signal.SIG_IGN)  # a second Ctrl-C must not leave some processes running
        services.stop()
    return 0


if __name__ == "__main__":
    sys.exit(run_command("make run", os.environ.get("LAKE") or "lake", run))
