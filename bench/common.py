"""What the benches share: memory of a process and its children, arguments, the machine in one line."""

import argparse
import os
import platform
import threading
import time
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

ROOT = Path(__file__).parent.parent
EVERY = 0.1  # seconds between two looks at the memory
YOUNG = 0.5  # seconds: a child that is about to become another program still shares all memory of its parent


class Peak:
    """The most memory that a process and its children held while the block ran.

    `mib` is the sum of their resident sizes: a page that two of them share counts twice. `own_mib` leaves out pages of
    files and shared memory, which the system takes back when it needs them.
    """

    def __init__(self, pid: int) -> None:
        self.mib = self.own_mib = 0.0
        self._process = psutil.Process(pid)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            resident, own = (size / 2**20 for size in self._held())
            self.mib, self.own_mib = max(self.mib, resident), max(self.own_mib, own)
            if self._done.wait(EVERY):
                return

    def _held(self) -> tuple[int, int]:
        try:
            family = [self._process, *self._process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return 0, 0
        found = [_memory(one) for one in family]
        return sum(resident for resident, _ in found), sum(own for _, own in found)


def _memory(process: psutil.Process) -> tuple[int, int]:
    try:
        if time.time() - process.create_time() <= YOUNG:
            return 0, 0
        found = process.memory_info()
        return int(found.rss), int(found.rss - found.shared)
    except psutil.NoSuchProcess:
        return 0, 0


def lake_arguments(description: str | None) -> argparse.ArgumentParser:
    """Of the benches that read a lake which `make run` left."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--lake", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", type=Path)
    return parser


def machine(*packages: str) -> str:
    """Such as `Xeon 8488C, 2 cores, 23.5 GiB; Python 3.11.9, pyspark 4.1.4`."""
    memory = psutil.virtual_memory().total / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor()}, {cores} cores, {memory:.1f} GiB; Python {platform.python_version()}, {versions}"


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
