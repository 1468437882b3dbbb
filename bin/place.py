"""Where one lake's state lies, and the lock that lets only one scheduler work on it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


class Place:
    """A lake, and its folder under .state/ for what runs keep besides: Airflow's home, logs, landing."""

    def __init__(self, lake: str) -> None:
        remote = "://" in lake
        self.lake = lake.rstrip("/") if remote else str((REPOSITORY / lake).resolve())
        name = "lake"
        if self.lake != str(REPOSITORY / "lake"):
            readable = re.sub(r"\W+", "-", self.lake).strip("-")[-40:]
            name = f"{readable}-{hashlib.sha256(self.lake.encode()).hexdigest()[:6]}"
        self.state = REPOSITORY / (os.environ.get("STATE") or ".state") / name
        self.state.mkdir(parents=True, exist_ok=True)

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    def hold(self, command: str) -> None:
        """Hold the lake until this process ends; end `command` with one sentence if another one holds it."""
        file = os.open(self.state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(file, 100).decode().strip() or "a process that has just started"
            sys.exit(f"{command}: {self.lake} is in use by {holder}: wait until it ends, or stop it")
        os.truncate(file, 0)
        os.write(file, f"process {os.getpid()}".encode())
