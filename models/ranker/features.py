"""Numbers about events that need no weights."""

import torch
from torch import Tensor

TIERS = 20  # of SimTier, over similarities in [-1, 1]
DOUBLINGS = 32  # tables of times and places are by powers of two


def doublings(values: Tensor) -> Tensor:
    """Which power of two each number is above: int64 below DOUBLINGS."""
    return (values.clamp(min=0) + 1).log2().long().clamp(max=DOUBLINGS - 1)


def counted(values: Tensor, padding: Tensor, most: int) -> Tensor:
    """log(1 + events) for each value [batch, most] of values [batch, k]."""
    counts = torch.zeros(len(values), most, device=values.device)
    return counts.scatter_add_(1, values, (~padding).float()).log1p()


def simtier(sims: Tensor, padding: Tensor) -> Tensor:
    """SimTier [batch, TIERS]: log(1 + events) per tier of similarity; sims [batch, k] in [-1, 1]."""
    return counted(((sims + 1) / 2 * TIERS).long().clamp(0, TIERS - 1), padding, TIERS)
