"""Features of events that have no weights."""

import torch
from torch import Tensor

TIERS = 20  # of SimTier, over similarities in [-1, 1]
DOUBLINGS = 32  # buckets of times and positions: one for each power of two


def bucket_by_doubling(values: Tensor) -> Tensor:
    """The bucket of each number, int64 below DOUBLINGS: log2(1 + value), rounded down."""
    return (values.clamp(min=0) + 1).log2().long().clamp(max=DOUBLINGS - 1)


def count_events(values: Tensor, padding: Tensor, size: int) -> Tensor:
    """log(1 + number of events) for each value below size [batch, size].

    values   [batch, k] int64 below size, a value for each event
    padding  [batch, k] bool, columns without an event
    """
    counts = torch.zeros(len(values), size, device=values.device)
    return counts.scatter_add_(1, values, (~padding).float()).log1p()


def simtier(sims: Tensor, padding: Tensor) -> Tensor:
    """SimTier [batch, TIERS]: log(1 + number of events) in each tier of similarity (MUSE, arXiv 2512.07216).

    sims  [batch, k] in [-1, 1]
    """
    return count_events(((sims + 1) / 2 * TIERS).long().clamp(0, TIERS - 1), padding, TIERS)
