"""Work shared by several processes (workers), which torchrun starts. They open no lake and write no table."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist

from jobs.lake import UserError
from jobs.runtime.entry import error_sentence


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

    raises  UserError with the sentence of the first worker that named a cause
    """
    torchrun = ["torch.distributed.run", "--standalone", f"--nproc-per-node={workers}", "-m", module, str(folder)]
    causes, prefix = [], f"{module}: "
    with subprocess.Popen([sys.executable, "-m", *torchrun], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            sys.stderr.write(line)
            if line.startswith(prefix):
                causes.append(line.strip().removeprefix(prefix))
    if process.returncode:
        raise UserError(causes[0]) if causes else RuntimeError(f"a worker of {module} failed; its lines are above")


@contextmanager
def join_workers(module: str) -> Iterator[bool]:
    """Make this process one of the workers. Yields whether it is the first.

    An error with a known cause ends the process with its sentence.
    """
    has_gpu = torch.cuda.is_available()
    if has_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if has_gpu else "gloo")
    try:
        yield dist.get_rank() == 0
        dist.barrier()  # a worker that leaves while the first still saves may abort the first
    except Exception as error:
        if (sentence := error_sentence(error)).startswith("unexpected"):
            raise
        sys.exit(f"{module}: {sentence}")
    finally:
        dist.destroy_process_group()
