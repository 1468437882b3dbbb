"""Training in several worker processes: each computes its part of every batch, and all get the whole gradient."""

from typing import Any, TypeVar, cast

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from models import distributed
from models.distributed import worker_count, worker_index
from models.training.optimizers import dense_weights, sparse_tables

Int64s = NDArray[np.int64]
Numbers = TypeVar("Numbers", bound=NDArray[Any])


def take_share(rows: Int64s) -> Int64s:
    """The rows that this worker computes."""
    return rows[worker_index() :: worker_count()]


def sum_over_workers(values: Numbers, device: torch.device) -> Numbers:
    """The sum over all workers. If each worker fills its own rows and leaves zeros elsewhere, this is all rows."""
    if not dist.is_initialized():
        return values
    tensor = torch.from_numpy(values).to(device)
    dist.all_reduce(tensor)
    return cast(Numbers, tensor.cpu().numpy())


def sum_gradients(model: nn.Module) -> None:
    """Replace each worker's part of the gradient by the sum over all workers."""
    if not dist.is_initialized():
        return
    distributed.sum_gradients(dense_weights(model))
    for table in sparse_tables(model):
        table.grad = _sum_sparse_gradients(table)


def _sum_sparse_gradients(weights: nn.Parameter) -> Tensor:
    """The sum of all workers' sparse gradients of a table [rows, dim]."""
    grad = weights.grad
    rows, values = weights.new_zeros(0, dtype=torch.int64), weights.new_zeros(0, weights.shape[1])
    if grad is not None:
        coalesced = grad.coalesce()
        rows, values = coalesced.indices()[0], coalesced.values()
    gathered_counts = [rows.new_zeros(1) for _ in range(worker_count())]
    dist.all_gather(gathered_counts, rows.new_tensor([len(rows)]))
    counts = [int(count) for count in gathered_counts]
    longest = max(counts)
    all_rows = [rows.new_zeros(longest) for _ in counts]
    all_values = [values.new_zeros(longest, weights.shape[1]) for _ in counts]
    dist.all_gather(all_rows, torch.cat([rows, rows.new_zeros(longest - len(rows))]))
    dist.all_gather(all_values, torch.cat([values, values.new_zeros(longest - len(rows), weights.shape[1])]))
    indices = torch.cat([part[:count] for part, count in zip(all_rows, counts, strict=True)])
    summands = torch.cat([part[:count] for part, count in zip(all_values, counts, strict=True)])
    return torch.sparse_coo_tensor(indices[None], summands, tuple(weights.shape), check_invariants=False)


def copy_weights_of_first_worker(model: nn.Module) -> None:
    """Give all workers the first worker's weights: sums on a GPU may differ in their last digit."""
    if dist.is_initialized():
        for tensor in model.state_dict().values():
            if tensor.numel():
                buffer = tensor.to(torch.uint8) if tensor.dtype == torch.bool else tensor
                dist.broadcast(buffer, 0)
                tensor.copy_(buffer)
