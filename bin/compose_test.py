"""Run a small day on the services of docker-compose.yml: `make compose-test`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from airflow_api import AirflowClient
from lake_state import REPOSITORY
from rich.console import Console
from run_progress import RunProgress, TaskFailed

DAY, DAYS, SIZES = "2026-11-20", "3", ("--items", "500", "--users", "200", "--events-per-day", "4000")
START_SECONDS = 600
CHECK = f"""
from datetime import date
from jobs.lake import Lake
from jobs.lake.lake import lake_root
from jobs.release.releases import live_release
from jobs.reporting.publishing import find_report
lake = Lake(lake_root())
release = live_release(lake)
assert release and release["day"] == date.fromisoformat("{DAY}"), release
assert lake.arrow("gold.recommendations").num_rows > 0
assert find_report(lake, release["day"])
print(release["model_version"], lake.arrow("gold.recommendations").num_rows, "recommended items")
"""


def main() -> None:
    """Start the services with volumes of their own, run a small day, check the tables, and remove everything."""
    console = Console(highlight=False)
    compose = [*_find_compose(), "-p", "sidereal-test"]
    os.environ |= {"PROFILE": "demo", "AIRFLOW_SCHEDULE": "False"}  # nothing runs but the day of the test
    os.environ["SPARK_FROM_ROWS"] = "1"  # so that the test uses Spark
    try:
        _run([*compose, "up", "-d", "--build"])
        client = _connect(compose)
        scheduler = [*compose, "exec", "-T", "airflow-scheduler"]
        job = [*scheduler, ".venv/jobs/bin/python", "-m"]
        _run([*job, "jobs.simulate", "--day", DAY, "--days", DAYS, "--out", "/tmp/logs", *SIZES])
        _run([*job, "jobs.landing.copy", "--data", "/tmp/logs", "--out", "s3://landing/logs"])
        client.set_paused(False)
        client.trigger_run("test", {"day": DAY, "profile": "demo", "since": "2026-11-18"})
        RunProgress(client, Path("airflow/logs"), console, lambda: None).follow(DAY, "test")
        _run([*scheduler, ".venv/jobs/bin/python", "-c", CHECK])
    except (TaskFailed, subprocess.CalledProcessError) as error:
        subprocess.run([*compose, "logs", "--tail", "20"])
        sys.exit(f"make compose-test: {error}")
    finally:
        subprocess.run([*compose, "down", "-v", "-t", "5"])


def _find_compose() -> list[str]:
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    if shutil.which("docker"):
        return ["docker", "compose"]
    sys.exit("make compose-test: Docker is missing; install it with docker compose, or take `make cluster`")


def _connect(compose: list[str]) -> AirflowClient:
    """Wait until Airflow answers and has read the DAG."""
    passwords = Path(tempfile.mkdtemp(prefix="sidereal-")) / "passwords.json"
    client = AirflowClient("http://127.0.0.1:8080", passwords)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        shown = [*compose, "exec", "-T", "airflow-api", "cat", "/data/airflow/passwords.json"]
        text = subprocess.run(shown, capture_output=True, text=True).stdout
        if text.startswith("{"):
            passwords.write_text(text)
            if client.is_up() and client.http.get("/api/v2/dags/daily").status_code == 200:
                return client
        time.sleep(3)
    sys.exit(f"make compose-test: Airflow did not answer within {START_SECONDS} s")


def _run(command: list[str]) -> None:
    print("+", *command[:8], flush=True)
    subprocess.run(command, cwd=REPOSITORY, check=True)


if __name__ == "__main__":
    main()
