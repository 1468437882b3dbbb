"""Worker processes wait long for each other, and do not outlive those who started them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[3]
WORKER = """
import os, sys, time
from pathlib import Path

import torch
import torch.distributed as dist

from jobs.runtime.workers import join_workers

with join_workers("sleeper"):
    folder = Path(sys.argv[1])
    (folder / "timeout").write_text(str(dist.group.WORLD._get_backend(torch.device("cpu")).options._timeout))
    (folder / "unfinished").write_text(str(os.getpid()))
    (folder / "unfinished").rename(folder / "pid")
    time.sleep(300)
"""
START = """
import sys
from pathlib import Path

from jobs.runtime.workers import run_workers

run_workers("sleeper", Path(sys.argv[1]), 1)
"""


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"nothing happened for {seconds} s"
        time.sleep(0.1)


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("killed", ["starter", "torchrun"])
def test_a_worker_waits_a_day_for_the_others_and_ends_when_its_starter_or_torchrun_is_killed(
    tmp_path: Path, killed: str
) -> None:
    (tmp_path / "sleeper.py").write_text(WORKER)
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{tmp_path}", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", START, str(tmp_path)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as starter:
        wait_for((tmp_path / "pid").exists, 120)
        worker = psutil.Process(int((tmp_path / "pid").read_text()))
        torchrun = worker.parent()
        assert torchrun is not None
        assert torchrun.ppid() == starter.pid
        assert (tmp_path / "timeout").read_text() == "1 day, 0:00:00"
        try:
            (starter if killed == "starter" else torchrun).kill()
            wait_for(lambda: not is_alive(worker) and not is_alive(torchrun), 20)
        finally:
            for process in (worker, torchrun):
                if is_alive(process):
                    process.kill()
    assert starter.returncode != 0


def test_the_error_says_that_a_worker_was_killed(tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text(WORKER)
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{tmp_path}", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", START, str(tmp_path)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as starter:
        wait_for((tmp_path / "pid").exists, 120)
        psutil.Process(int((tmp_path / "pid").read_text())).kill()
        assert "a worker of sleeper was killed, perhaps for lack of memory" in starter.communicate(timeout=60)[1]
    assert starter.returncode == 1
