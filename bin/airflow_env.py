"""Where Airflow keeps its state and how it is set: environment variables only, no file to edit."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
AIRFLOW = REPOSITORY / ".venv/airflow/bin/airflow"
STAMP = REPOSITORY / ".venv/airflow.stamp"
TEMPLATE = REPOSITORY / ".venv/airflow.db"


def environment(state: Path, host: str, port: int) -> dict[str, str]:
    """The whole environment of Airflow's processes, whose state lies in `state`/airflow."""
    home = state / "airflow"
    settings = {
        "CORE__DAGS_FOLDER": REPOSITORY / "dags",
        "CORE__LOAD_EXAMPLES": False,
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": 2,
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": True,
        "CORE__EXECUTION_API_SERVER_URL": f"{address(host, port)}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": home / "passwords.json",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        **secrets_of(home),
        "API__HOST": host,
        "API__PORT": port,
        "API__BASE_URL": address(host, port),
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


def address(host: str, port: int) -> str:
    """Where a server that listens on `host` is reached from this machine."""
    return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"


def secrets_of(home: Path) -> dict[str, str]:
    """The keys that Airflow's processes share, made once: each process would make its own otherwise."""
    file = home / "secrets.json"
    if not file.exists():
        home.mkdir(parents=True, exist_ok=True)
        names = ("API_AUTH__JWT_SECRET", "API__SECRET_KEY", "CORE__FERNET_KEY")
        keys = {name: base64.urlsafe_b64encode(os.urandom(32)).decode() for name in names}
        keys["API_AUTH__JWT_SECRET"] *= 2  # SHA-512 wants 64 bytes
        with open(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as stream:
            json.dump(keys, stream)
    return dict(json.loads(file.read_text()))


def prepare(env: dict[str, str]) -> None:
    """Bring Airflow's database to the installed version: a copy of what set-up made, or a migration."""
    database = Path(env["AIRFLOW_HOME"]) / "airflow.db"
    version = Path(env["AIRFLOW_HOME"]) / "version"
    if not database.exists() and TEMPLATE.exists():
        shutil.copyfile(TEMPLATE, database)
        shutil.copyfile(STAMP, version)
    if version.exists() and version.read_text() == STAMP.read_text():
        return
    for command in (["db", "migrate"], ["pools", "set", "gpu", "1", "one GPU: one task at a time"]):
        subprocess.run([AIRFLOW, *command], env=env, check=True, stdout=subprocess.DEVNULL)
    shutil.copyfile(STAMP, version)


if __name__ == "__main__":  # set-up: an empty database, made once, so that no run spends seconds on it
    with tempfile.TemporaryDirectory() as folder:
        prepare(environment(Path(folder), "127.0.0.1", 8080))
        shutil.copyfile(Path(folder) / "airflow/airflow.db", TEMPLATE)
