"""A training that several ranks share: each has its part of every batch, all have the whole gradient."""

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from models import distributed
from models.ranker.histories import Int64s
from models.ranker.model import Ranker


def rank() -> int:
    """The number of this process among those that share the training, 0 where it is alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def mine(rows: Int64s) -> Int64s:
    """Those of the rows that are this rank's."""
    return rows[rank() :: dist.get_world_size()] if dist.is_initialized() else rows


def together(values: NDArray[np.float32], device: torch.device) -> NDArray[np.float32]:
    """The sum over all ranks: of rows that each rank knows, and zeros where another does, all rows."""
    if not dist.is_initialized():
        return values
    held = torch.from_numpy(values).to(device)
    dist.all_reduce(held)
    whole: NDArray[np.float32] = held.cpu().numpy()
    return whole


def sum_gradients(model: Ranker) -> None:
    """The parts of the gradient that the ranks hold become the whole, on each of them."""
    if not dist.is_initialized():
        return
    tables = model.tables()
    own = {id(table) for table in tables}
    dense = [weights for weights in model.parameters() if id(weights) not in own]
    distributed.sum_gradients(dense)
    for table in tables:
        table.grad = _gathered(table)


def _gathered(weights: nn.Parameter) -> Tensor:
    """The sum of all ranks' sparse gradients of a table [rows, dim]."""
    grad = weights.grad
    none = weights.new_zeros(0, dtype=torch.int64), weights.new_zeros(0, weights.shape[1])
    whole = None if grad is None else grad.coalesce()
    rows, values = none if whole is None else (whole.indices()[0], whole.values())
    counts = [rows.new_zeros(1) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, rows.new_tensor([len(rows)]))
    most = max(int(count) for count in counts)
    all_rows = [rows.new_zeros(most) for _ in counts]
    all_values = [values.new_zeros(most, weights.shape[1]) for _ in counts]
    dist.all_gather(all_rows, torch.cat([rows, rows.new_zeros(most - len(rows))]))
    dist.all_gather(all_values, torch.cat([values, values.new_zeros(most - len(rows), weights.shape[1])]))
    told = [int(count) for count in counts]
    where = torch.cat([one[:count] for one, count in zip(all_rows, told, strict=True)])
    what = torch.cat([one[:count] for one, count in zip(all_values, told, strict=True)])
    return torch.sparse_coo_tensor(where[None], what, tuple(weights.shape), check_invariants=False)


def agree(model: nn.Module) -> None:
    """The first rank's weights become those of all: sums on a GPU may differ in their last digit."""
    if dist.is_initialized():
        for tensor in model.state_dict().values():
            if tensor.numel():
                held = tensor.to(torch.uint8) if tensor.dtype == torch.bool else tensor
                dist.broadcast(held, 0)
                tensor.copy_(held)
