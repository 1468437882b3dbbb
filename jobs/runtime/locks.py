"""Locks between processes that work on the same lake. Waiting for one has a limit and names who holds it."""

import fcntl
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

from jobs.lake.errors import UserError
from jobs.lake.store import is_remote

JOB_LIMIT = 3 * 3600.0  # seconds; longer than a task of a usual day takes, shorter than the DAG's limit of a task
SECONDS_BETWEEN_TRIES = 0.5


def lock_job(root: str, name: str, limit: float = JOB_LIMIT) -> AbstractContextManager[None]:
    """Wait until no other run of this job works on the lake at `root`, so that runs of two days do not collide.

    An object store has no such lock. There Delta refuses the second of two commits that collide.

    raises  UserError that names the other run if it takes longer than `limit` seconds
    """
    path = Path(root) / "locks" / name
    return nullcontext() if is_remote(root) else _lock_file(path, f"run of {name} on {root}", limit)


@contextmanager
def _lock_file(path: Path, purpose: str, limit: float) -> Iterator[None]:
    """Hold an exclusive lock on a file, which says who holds it. purpose: what the holder does, for messages"""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+") as file:
        deadline = time.monotonic() + limit
        is_waiting = False
        while not _try_lock(file.fileno()):
            file.seek(0)
            holder = file.read(200).strip() or "a process that has just started"
            if not is_waiting:
                print(f"waiting for another {purpose}: {holder}", file=sys.stderr, flush=True)
                is_waiting = True
            if time.monotonic() > deadline:
                raise UserError(
                    f"another {purpose} did not end within {limit / 60:g} minutes ({holder}): wait for it, or stop it,"
                    " then run this again"
                )
            time.sleep(SECONDS_BETWEEN_TRIES)
        file.truncate(0)
        since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        print(f"process {os.getpid()} on {socket.gethostname()} since {since}", file=file, flush=True)
        yield
        file.truncate(0)


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
