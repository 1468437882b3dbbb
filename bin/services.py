"""Start the processes that a run needs (such as Airflow) and stop all of them at the end.

Every started process carries a token in its environment, and so does every process that it starts in turn. The token
finds them again, whatever process group or session they moved to. A guard process holds one end of a pipe. When this
process ends in any way, even by SIGKILL, the pipe closes and the guard stops every process with the token.
"""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import psutil
from lake_state import REPOSITORY

TOKEN = "SERVICES_TOKEN"
START_TIMEOUT = 180.0  # seconds until a service must answer, on a slow machine
SECONDS_BEFORE_RESTART = 2.0  # what the process used must be free again
GRACE_SECONDS = 3.0  # between asking a process to end and killing it


class ServiceError(Exception):
    """A service did not start, or ended early. The message names its log."""


class Services:
    """The processes of one run. Their output is in the folder `logs`.

    restarts  how often each service may end and is started again, as containers are; afterwards its end is an error
    """

    def __init__(self, logs: Path, restarts: int = 0) -> None:
        self.logs, self.restarts = logs, restarts
        self.logs.mkdir(parents=True, exist_ok=True)
        self.token = uuid.uuid4().hex
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.launch: dict[str, Callable[[str], subprocess.Popen[bytes]]] = {}
        self.ended: Counter[str] = Counter()
        command = [sys.executable, __file__, self.token]
        self.guard = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)

    def start(self, name: str, command: list[str], env: dict[str, str], cwd: Path = REPOSITORY) -> None:
        """Start a process in its own session and write its output to the log `<name>.log`."""
        # SPT_NOENV: Airflow renames its processes, which would overwrite the environment that holds the token.
        env = {**env, TOKEN: self.token, "SPT_NOENV": "1"}

        def launch(mode: str) -> subprocess.Popen[bytes]:
            with open(self.log(name), mode) as log:
                return subprocess.Popen(
                    command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )

        self.launch[name] = launch
        self.running[name] = launch("wb")

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def check(self) -> None:
        """Start services again that have ended. Raise ServiceError if one of them has ended too often."""
        for name, process in list(self.running.items()):
            if process.poll() is None:
                continue
            self.ended[name] += 1
            if self.ended[name] > self.restarts:
                raise ServiceError(f"{name} ended with code {process.returncode}; its log is {self.log(name)}")
            time.sleep(SECONDS_BEFORE_RESTART)
            print(f"{name} ended with code {process.returncode} and is started again", file=sys.stderr, flush=True)
            self.running[name] = self.launch[name]("ab")

    def wait_until_ready(self, name: str, is_ready: Callable[[], bool]) -> None:
        """Return once `is_ready()`. Raise ServiceError if a service ends, or if this takes too long."""
        deadline = time.monotonic() + START_TIMEOUT
        while not is_ready():
            self.check()
            if time.monotonic() > deadline:
                raise ServiceError(f"{name} did not start within {START_TIMEOUT:.0f} s; the logs are in {self.logs}")
            time.sleep(0.3)

    def stop(self) -> None:
        """Stop all processes and wait until they have ended."""
        stop_processes(self.token)
        if self.guard.stdin:
            self.guard.stdin.close()
        self.guard.wait()


def find_processes(token: str) -> list[psutil.Process]:
    """The running processes that carry the token."""
    processes = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(TOKEN) == token and process.status() != psutil.STATUS_ZOMBIE:
                processes.append(process)
        except psutil.Error:  # it ended meanwhile, or belongs to another user
            continue
    return processes


def stop_processes(token: str) -> None:
    """Ask every process with the token to end. Kill those that still run after GRACE_SECONDS."""
    deadline = time.monotonic() + GRACE_SECONDS
    asked_to_end: set[int] = set()
    while running := find_processes(token):
        must_kill = time.monotonic() > deadline
        for process in running:
            if must_kill or process.pid not in asked_to_end:
                asked_to_end.add(process.pid)
                try:
                    process.send_signal(signal.SIGKILL if must_kill else signal.SIGTERM)
                except psutil.NoSuchProcess:
                    continue
        time.sleep(0.1)


def on_signals(action: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    """Do `action` on Ctrl-C, kill and hang-up. `nohup` still works."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if name != signal.SIGHUP or signal.getsignal(name) != signal.SIG_IGN:
            signal.signal(name, action)


def free_port() -> int:
    """A port that nobody uses. It is below the range from which the system assigns ports to other programs."""
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


if __name__ == "__main__":  # the guard
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdin.read()
    stop_processes(sys.argv[1])
