"""Work shared by several processes (workers), which torchrun starts. They open no lake and write no table."""

import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from jobs.lake import UserError
from jobs.runtime.entry import error_sentence
from models import distributed

LOOK_SECONDS = 2.0  # between two looks at the processes that started a worker


def count_workers(setting: int) -> int:
    """Return the number of workers that a setting asks for. 0 means one for each GPU, or one without GPUs.

    raises  UserError if there are GPUs, but fewer than workers
    """
    if (gpus := torch.cuda.device_count()) and setting > gpus:
        raise UserError(
            f"the settings ask for {setting} workers, and there are {gpus} GPUs. Each worker needs its own GPU:"
            " lower the setting, or set it to 0 for one worker per GPU"
        )
    return setting or max(1, gpus)


def run_workers(module: str, folder: Path, workers: int) -> None:
    """Run `python -m <module> <folder>` in each worker, and pass on what they write to standard error.

    raises  UserError with the sentence of the first worker that named a cause, or if a worker was killed
    """
    torchrun = ["torch.distributed.run", "--standalone", f"--nproc-per-node={workers}", "-m", module, str(folder)]
    causes, prefix, was_killed = [], f"{module}: ", False
    with subprocess.Popen([sys.executable, "-m", *torchrun], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            sys.stderr.write(line)
            if line.startswith(prefix):
                causes.append(line.strip().removeprefix(prefix))
            was_killed |= "exitcode  : -9" in line or "exitcode: -9" in line
    if not process.returncode:
        return
    if was_killed and not causes:
        causes.append(f"a worker of {module} was killed, perhaps for lack of memory: lower `workers` or the batch size")
    raise UserError(causes[0]) if causes else RuntimeError(f"a worker of {module} failed; its lines are above")


@contextmanager
def join_workers(module: str) -> Iterator[bool]:
    """Make this process one of the workers. Yields whether it is the first.

    An error with a known cause ends the process with its sentence.
    """
    threading.Thread(target=_end_with_starter, daemon=True).start()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    try:
        with distributed.process_group():
            yield distributed.worker_index() == 0
    except Exception as error:
        if (sentence := error_sentence(error)).startswith("unexpected"):
            raise
        sys.exit(f"{module}: {sentence}")


def _end_with_starter() -> None:
    """End this process as soon as nobody waits for it: torchrun or the process that started torchrun was killed.

    `kill -9` ends a process, but not its children. The process that called `run_workers` reads our standard error: if
    nobody reads this pipe any more, that process is gone.
    """
    torchrun, stderr = os.getppid(), select.poll()
    stderr.register(2, 0)
    while os.getppid() == torchrun and not any(event & select.POLLERR for _, event in stderr.poll(0)):
        time.sleep(LOOK_SECONDS)
    os._exit(1)
