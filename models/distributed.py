"""What the processes of one training share through torch.distributed. A process that works alone is worker 0 of 1."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import nn

# How long a worker waits for the others. They may have more to do: a language model needs minutes or hours for a shard
# of lists, and torch gives up after 10 or 30 minutes by default.
PATIENCE = timedelta(days=1)


@contextmanager
def process_group(address: str | None = None, index: int = -1, count: int = -1) -> Iterator[None]:
    """Make this process one of the workers until the `with` block ends.

    address  `host:port` where the first worker listens, with this worker's number and how many there are; by default
             torchrun's environment variables
    """
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    method = f"tcp://{address}" if address else None
    dist.init_process_group(backend, init_method=method, rank=index, world_size=count, timeout=PATIENCE)
    try:
        yield
        dist.barrier()  # a worker that leaves while the first still saves may abort the first
    finally:
        dist.destroy_process_group()


def worker_index() -> int:
    """The number of this process, from 0 (torch calls it rank)."""
    return dist.get_rank() if dist.is_initialized() else 0


def worker_count() -> int:
    """How many processes share the training (torch calls it world size)."""
    return dist.get_world_size() if dist.is_initialized() else 1


def sum_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replace each worker's part of the gradient by the sum of all parts, in one message.

    The message needs memory for a copy of these gradients. A parameter without a gradient counts as zeros.
    """
    if not dist.is_initialized():
        return
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    message = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(message)
    sizes = [parameter.numel() for parameter in parameters]
    for parameter, gradient in zip(parameters, torch.split(message, sizes), strict=True):
        parameter.grad = gradient.view_as(parameter)
