"""Start a PostgreSQL server of our own, for Airflow's database on a cluster."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from pathlib import Path

from services import ServiceError, Services, free_port

USER = "sidereal"


def start_postgres(services: Services, folder: Path, database: str) -> str:
    """Start a server on this machine that keeps its data in `folder`. Return when it has the database.

    returns  the database as an address of SQLAlchemy, with the password
    """
    programs = _find_programs()
    folder.mkdir(parents=True, exist_ok=True)
    password_file, data = folder / "password", folder / "data"
    if not password_file.exists():
        shutil.rmtree(data, ignore_errors=True)  # of a start that did not get so far
        password = secrets.token_urlsafe(24)
        new = folder / "new-password"
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(password)
        access = ["-U", USER, "-A", "scram-sha-256", f"--pwfile={new}"]
        _run([programs / "initdb", "-D", data, "-E", "UTF8", *access])
        new.rename(password_file)
    password = password_file.read_text()
    port = free_port()
    server = [*_as_user(), str(programs / "postgres"), "-D", str(data), "-p", str(port)]
    server += ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
    services.start("postgres", server, dict(os.environ))
    env = {**os.environ, "PGPASSWORD": password, "PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": USER}
    services.wait_until_ready("PostgreSQL", lambda: _query(programs, env, "SELECT 1") == "1")
    if not _query(programs, env, f"SELECT 1 FROM pg_database WHERE datname = '{database}'"):
        _query(programs, env, f"CREATE DATABASE {database}")
    return f"postgresql+psycopg2://{USER}:{password}@127.0.0.1:{port}/{database}"


def _find_programs() -> Path:
    """The folder of the newest PostgreSQL. Debian does not put it on the path."""
    folders = [*Path("/usr/lib/postgresql").glob("*/bin"), *(Path(p) for p in os.environ.get("PATH", "").split(":"))]
    folders = [folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()]
    if not folders:
        raise ServiceError("PostgreSQL is missing; install it, for example: sudo apt-get install -y postgresql")
    return max(folders, key=lambda folder: int(folder.parent.name) if folder.parent.name.isdigit() else 0)


def _as_user() -> list[str]:
    """PostgreSQL refuses to run as root. A name space of its own shows it another user; its files stay root's."""
    return ["unshare", "--user", "--map-user=1000", "--map-group=1000"] if os.geteuid() == 0 else []


def _run(command: list[str | Path]) -> None:
    made = subprocess.run([*_as_user(), *map(str, command)], capture_output=True, text=True)
    if made.returncode:
        lines = made.stderr.strip().splitlines() or ["no message"]
        raise ServiceError(f"PostgreSQL's database cannot be made: {lines[-1]}")


def _query(programs: Path, env: dict[str, str], statement: str) -> str:
    command = [str(programs / "psql"), "-tA", "-d", "postgres", "-c", statement]
    return subprocess.run(command, env=env, capture_output=True, text=True).stdout.strip()
