"""Parts that benches share: command-line options, the jobs of a day, peak memory, a description of the machine."""

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
# All jobs of a day, in the order in which the DAG starts them.
JOBS = (
    "ingest", "pairs", "samples", "embed", "ask", "two_tower", "judge", "align", "quantize", "generate", "train",
    "evaluate", "recommend", "promote", "report",
)  # fmt: skip
POLL_SECONDS = 0.1  # between two looks at the memory
FORK_SECONDS = 0.5  # a child younger than this may still share all memory with its parent, so it is not counted


class PeakMemory:
    """Measures the peak memory of a process and its children while the `with` block runs.

    mib      largest sum of their resident sizes; a page that two processes share counts twice
    own_mib  the same without pages of files and shared memory, which the system can take back
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
            resident, own = (size / 2**20 for size in self._measure_family())
            self.mib, self.own_mib = max(self.mib, resident), max(self.own_mib, own)
            if self._done.wait(POLL_SECONDS):
                return

    def _measure_family(self) -> tuple[int, int]:
        """Bytes of the process and its children: resident, and without shared pages."""
        try:
            family = [self._process, *self._process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return 0, 0
        sizes = [_measure_process(process) for process in family]
        return sum(resident for resident, _ in sizes), sum(own for _, own in sizes)


def _measure_process(process: psutil.Process) -> tuple[int, int]:
    try:
        if time.time() - process.create_time() <= FORK_SECONDS:
            return 0, 0
        memory = process.memory_info()
        return int(memory.rss), int(memory.rss - memory.shared)
    except psutil.NoSuchProcess:
        return 0, 0


def build_parser(description: str | None) -> argparse.ArgumentParser:
    """Parser with the option that every bench has; `--help` shows the description with its line breaks."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="file to which the rows are written as a list of flat JSON objects")
    return parser


def build_lake_parser(description: str | None) -> argparse.ArgumentParser:
    """Parser of the benches that read a lake written by `make run`."""
    parser = build_parser(description)
    parser.add_argument("--lake", required=True, help="folder or address of a lake that `make run` wrote")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    return parser


def describe_machine(*packages: str) -> str:
    """Such as `Xeon 8488C, 2 cores, 23.5 GiB; Python 3.11.9, pyspark 4.1.4`."""
    memory = psutil.virtual_memory().total / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor_name()}, {cores} cores, {memory:.1f} GiB; Python {platform.python_version()}, {versions}"


def _processor_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
