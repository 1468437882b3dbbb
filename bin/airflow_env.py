"""Where Airflow keeps its state and how it is set: environment variables only, no file to edit."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
AIRFLOW = REPOSITORY / ".venv/airflow/bin/airflow"
USER = "admin"


def environment(state: Path, host: str, port: int) -> dict[str, str]:
    """The whole environment of Airflow's processes, whose state lies in `state`/airflow."""
    home = state / "airflow"
    settings = {
        "CORE__DAGS_FOLDER": REPOSITORY / "dags",
        "CORE__LOAD_EXAMPLES": False,
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": 2,
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": True,
        "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": home / "passwords.json",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "API__HOST": host,
        "API__PORT": port,
        "API__BASE_URL": f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}",
        "API__INSTANCE_NAME": "Sidereal",
        # The scheduler looks for work every 0.2 s instead of every second: a run is many short tasks.
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": 0.2,
        "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": 1,
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": 300,
        "DAG_PROCESSOR__PARSING_PROCESSES": 1,
        "LOGGING__BASE_LOG_FOLDER": home / "logs",
        "LOGGING__UVICORN_LOGGING_LEVEL": "WARNING",
        "USAGE_DATA_COLLECTION__ENABLED": False,
    }
    chosen = {f"AIRFLOW__{key}": str(value) for key, value in settings.items()}
    return {**os.environ, **chosen, "AIRFLOW_HOME": str(home), "NO_COLOR": "1"}


def prepare(env: dict[str, str]) -> None:
    """Create or migrate Airflow's database and its pool of one GPU slot."""
    Path(env["AIRFLOW_HOME"]).mkdir(parents=True, exist_ok=True)
    for command in (["db", "migrate"], ["pools", "set", "gpu", "1", "one GPU: one task at a time"]):
        subprocess.run([AIRFLOW, *command], env=env, check=True, stdout=subprocess.DEVNULL)
