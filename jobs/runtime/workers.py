"""Work shared by several processes that torchrun starts: ranks share no lake, no lock and no ledger."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist

from jobs.lake import UserError
from jobs.runtime.entry import cause


def count(told: int) -> int:
    """How many ranks a setting means; 0: one for each GPU, or one.

    raises  UserError if there are GPUs, but fewer
    """
    if (gpus := torch.cuda.device_count()) and told > gpus:
        raise UserError(f"the settings ask for {told} ranks, and there are {gpus} GPUs: one rank needs one; 0: so many")
    return told or max(1, gpus)


def start(module: str, folder: Path, ranks: int) -> None:
    """Run `python -m <module> <folder>` in each rank and pass on what they tell.

    raises  UserError with the cause that one of them named
    """
    run = ["torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", "-m", module, str(folder)]
    causes, mark = [], f"{module}: "
    with subprocess.Popen([sys.executable, "-m", *run], stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        for line in running.stderr:
            sys.stderr.write(line)
            causes += [line.strip().removeprefix(mark)] if line.startswith(mark) else []
    if running.returncode:
        raise (UserError(causes[0]) if causes else RuntimeError(f"a rank of {module} failed; its lines are above"))


@contextmanager
def joined(module: str) -> Iterator[bool]:
    """This process as one of the ranks. yields whether it is the first; known causes end in a sentence"""
    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if gpu else "gloo")
    try:
        yield dist.get_rank() == 0
        dist.barrier()  # one that leaves while the first still saves may abort the other
    except Exception as error:
        if (told := cause(error)).startswith("unexpected"):
            raise
        sys.exit(f"{module}: {told}")
    finally:
        dist.destroy_process_group()
