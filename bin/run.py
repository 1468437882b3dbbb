"""Run the daily DAG over some days, through Airflow's own scheduler, and show how it goes: `make run`.

    LAKE     where the tables are (default lake/)
    DATA     a folder of logs in the landing format; without it, 10 days are simulated
    FROM TO  the days to run (default: the last 3 with events); earlier ones are landed as history in one go
    PROFILE  demo, small or gpu (default: demo for simulated logs, small for DATA)

Ctrl-C, kill, even kill -9 leave nothing running; the same command then goes on.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from datetime import date
from pathlib import Path
from types import FrameType

import httpx
from airflow_api import Airflow
from job import Mistake, job
from place import Place
from rich.console import Console
from services import ServiceError, Services, free_port, listening, on_signals, start_spark
from stack import start_airflow, wait_for
from summary import show
from watch import TaskFailed, Watch

SIMULATED = {"last": "2026-11-20", "days": "10"}
DAYS = 3


def simulate(folder: Path, console: Console) -> None:
    """Write the simulated logs once; the same command writes the same lines."""
    if not (folder / "complete").exists():
        console.print(f"Simulating {SIMULATED['days']} days of logs in {folder} ...", soft_wrap=True)
        job("simulate", "--day", SIMULATED["last"], "--days", SIMULATED["days"], "--out", str(folder))
        (folder / "complete").touch()


def choose(days: list[str], first: str | None, last: str | None) -> tuple[list[str], str | None]:
    """The days to run, and since when earlier days are landed as history (None: there are none)."""
    wanted = [day for day in days if (not first or day >= first) and (not last or day <= last)]
    if not wanted:
        span = f"from {days[0]} to {days[-1]}" if days else "on no day at all"
        raise Mistake(f"no events between FROM={first or ''} and TO={last or ''}: there are events {span}")
    if not first:
        wanted = wanted[-DAYS:]
    return wanted, days[0] if days[0] < wanted[0] else None


def day_of(name: str) -> str | None:
    """The day in environment variable `name`, checked."""
    text = os.environ.get(name)
    if text:
        try:
            date.fromisoformat(text)
        except ValueError:
            raise Mistake(f"{name}={text} is not a day; write it as 2011-11-01") from None
    return text or None


def run(place: Place, services: Services, console: Console) -> None:
    began = time.monotonic()
    data = os.environ.get("DATA")
    profile = os.environ.get("PROFILE") or ("small" if data else "demo")
    first, last = day_of("FROM"), day_of("TO")
    landing = Path(data).resolve() if data else place.state / "landing"
    if data and not landing.is_dir():
        raise Mistake(f"DATA={data} is not a folder; give one in the landing format (see README)")
    os.environ["PROFILE"] = profile
    job("settings")
    console.print("Starting Spark and Airflow ...")
    remote = start_spark(services, place.state)
    if not data:
        simulate(landing, console)
    days, since = choose(json.loads(job("landing.days", "--data", str(landing))), first, last)
    # Cron schedules stay off: this process alone decides which days run. Logs and tables stay for `make ui`.
    extra = {"SPARK_REMOTE": remote, "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False"}
    airflow = start_airflow(services, place, "127.0.0.1", free_port(), extra)
    wait_for("Spark", lambda: listening(remote), services)
    history = f", after the history since {since} in one go" if since else ""
    started = f"Started in {time.monotonic() - began:.0f} s."
    console.print(f"{started} Running {', '.join(days)}{history}.", soft_wrap=True)
    params = {"data": str(landing), "profile": profile, "since": since}
    follow(airflow, place, services, console, days, params)


def follow(
    airflow: Airflow,
    place: Place,
    services: Services,
    console: Console,
    days: list[str],
    params: dict[str, str | None],
) -> None:
    """One DAG run for each day, in order; stops at the first that fails."""
    for run_id in airflow.unfinished():
        airflow.fail(run_id)
    paused = airflow.paused()
    airflow.pause(False)
    watch = Watch(airflow, place.state / "airflow/logs", console, services.check)
    try:
        for day in days:
            run_id = f"{day}__{int(time.time())}"
            airflow.trigger(run_id, {**params, "day": day})
            watch.follow(day, run_id)
            params = {**params, "since": None}
    finally:
        airflow.pause(paused)
    show(json.loads(job("reporting.summary", "--days", *days)), console)


def stop(signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(signum).name)


def main() -> int:
    on_signals(stop)
    console = Console(highlight=False)
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    place = Place(os.environ.get("LAKE") or "lake")
    os.environ["LAKE"] = place.lake
    place.hold("make run")
    services = Services(place.logs)
    try:
        run(place, services, console)
    except (Mistake, ServiceError, TaskFailed) as error:
        errors.print(f"make run: {error}", markup=False)
        return 1
    except httpx.HTTPError as error:
        what = str(error) or type(error).__name__
        errors.print(f"make run: Airflow did not answer ({what}); run it again to go on", markup=False)
        return 1
    except KeyboardInterrupt:
        errors.print("make run: stopped; run it again to go on", markup=False)
        return 130
    finally:
        on_signals(signal.SIG_IGN)  # a second Ctrl-C must not leave half of it running
        services.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
