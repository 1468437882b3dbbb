"""Where the runs on one lake keep their state, and the lock that lets only one command work on a lake."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def landing_address(data: str) -> str:
    """The landing folder as an absolute path, or its address in an object store."""
    return data if "://" in data else os.path.abspath(data)


class LakeState:
    """A lake, and the folder under .state/ for what is not a table: Airflow's home, logs, simulated landing files.

    lake    folder (absolute) or address of the tables
    folder  the state of this lake's runs
    """

    def __init__(self, lake: str) -> None:
        is_remote = "://" in lake
        self.lake = lake.rstrip("/") if is_remote else str((REPOSITORY / lake).resolve())
        name = "lake"
        if self.lake != str(REPOSITORY / "lake"):
            readable = re.sub(r"\W+", "-", self.lake).strip("-")[-40:]
            name = f"{readable}-{hashlib.sha256(self.lake.encode()).hexdigest()[:6]}"
        self.folder = REPOSITORY / (os.environ.get("STATE") or ".state") / name
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def airflow_home(self) -> Path:
        return self.folder / "airflow"

    @property
    def landing(self) -> Path:
        """The folder of the simulated logs."""
        return self.folder / "landing"

    @property
    def service_logs(self) -> Path:
        return self.folder / "logs"

    def lock(self, command: str) -> None:
        """Lock the lake until this process ends. If another process holds the lock, end `command` with a message."""
        file = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            user = os.read(file, 100).decode().strip() or "a process that has just started"
            sys.exit(f"{command}: {self.lake} is in use by {user}; wait until it ends, or stop it")
        os.truncate(file, 0)
        os.write(file, f"process {os.getpid()}".encode())
