"""Airflow's settings, as environment variables, and its database. No settings file is needed."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from lake_state import REPOSITORY
from services import ServiceError

AIRFLOW = REPOSITORY / ".venv/airflow/bin/airflow"
STAMP = REPOSITORY / ".venv/airflow.stamp"
DATABASE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"  # if it is not SQLite in the home folder
EMPTY_DATABASE = REPOSITORY / ".venv/airflow.db"


def airflow_environment(home: Path, host: str, port: int) -> dict[str, str]:
    """The environment variables of Airflow's processes, which keep their state in `home`."""
    settings = {
        "CORE__DAGS_FOLDER": REPOSITORY / "dags",
        "CORE__LOAD_EXAMPLES": False,
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": 2,
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": True,
        "CORE__EXECUTION_API_SERVER_URL": f"{server_address(host, port)}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": home / "passwords.json",
        "DATABASE__SQL_ALCHEMY_CONN": os.environ.get(DATABASE) or f"sqlite:///{home}/airflow.db",
        **load_secrets(home),
        "API__HOST": host,
        "API__PORT": port,
        "API__BASE_URL": server_address(host, port),
        "API__INSTANCE_NAME": "Sidereal",
        # A run is many short tasks, so the scheduler looks for work every 0.2 s instead of every second.
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": 0.2,
        "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": 1,
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": 300,
        "DAG_PROCESSOR__PARSING_PROCESSES": 1,
        "LOGGING__BASE_LOG_FOLDER": home / "logs",
        "LOGGING__LOGGING_CONFIG_CLASS": "airflow_logs.LOGGING_CONFIG",
        "LOGGING__UVICORN_LOGGING_LEVEL": "WARNING",
        "USAGE_DATA_COLLECTION__ENABLED": False,
    }
    variables = {f"AIRFLOW__{key}": str(value) for key, value in settings.items()}
    path = os.pathsep.join(filter(None, [str(REPOSITORY / "bin"), os.environ.get("PYTHONPATH")]))
    return {**os.environ, **variables, "AIRFLOW_HOME": str(home), "PYTHONPATH": path, "NO_COLOR": "1"}


def server_address(host: str, port: int) -> str:
    """The URL at which this machine reaches a server that listens on `host`."""
    return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"


def load_secrets(home: Path) -> dict[str, str]:
    """The keys that Airflow's processes share, made at the first call. Otherwise each process would make its own."""
    file = home / "secrets.json"
    if not file.exists():
        home.mkdir(parents=True, exist_ok=True)
        names = ("API_AUTH__JWT_SECRET", "API__SECRET_KEY", "CORE__FERNET_KEY")
        keys = {name: base64.urlsafe_b64encode(os.urandom(32)).decode() for name in names}
        keys["API_AUTH__JWT_SECRET"] *= 2  # SHA-512 needs 64 bytes
        with open(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as stream:
            json.dump(keys, stream)
    return dict(json.loads(file.read_text()))


def prepare_database(env: dict[str, str]) -> None:
    """Copy the database that set-up made, or migrate an existing one to the installed version of Airflow."""
    database = Path(env["AIRFLOW_HOME"]) / "airflow.db"
    version = Path(env["AIRFLOW_HOME"]) / "version"
    is_sqlite = env[DATABASE].startswith("sqlite")
    if is_sqlite and not database.exists() and EMPTY_DATABASE.exists():
        shutil.copyfile(EMPTY_DATABASE, database)
        shutil.copyfile(STAMP, version)
    if is_sqlite and version.exists() and version.read_text() == STAMP.read_text():
        return  # another database may be a new one
    for command in (["db", "migrate"], ["pools", "set", "gpu", "1", "one GPU: one task at a time"]):
        prepared = subprocess.run(
            [AIRFLOW, *command], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        if prepared.returncode:
            reason = prepared.stderr.strip().splitlines()[-1] if prepared.stderr.strip() else "no message"
            raise ServiceError(f"Airflow's database cannot be prepared ({reason}); if you set {DATABASE}, check it")
    shutil.copyfile(STAMP, version)


if __name__ == "__main__":  # bin/setup makes an empty database once, so that no run spends seconds on it
    os.environ.pop(DATABASE, None)
    with tempfile.TemporaryDirectory() as folder:
        prepare_database(airflow_environment(Path(folder), "127.0.0.1", 8080))
        shutil.copyfile(Path(folder) / "airflow.db", EMPTY_DATABASE)
