"""Made-up vectors for the tests of k-means."""

import torch
from torch import Tensor


def make_clouds(items: int = 900, dim: int = 16, centres: int = 30, seed: int = 1) -> Tensor:
    """Normal noise around random centres: [items, dim]."""
    generator = torch.Generator().manual_seed(seed)
    middle = torch.randn(centres, dim, generator=generator)
    which = torch.randint(centres, (items,), generator=generator)
    return middle[which] + 0.5 * torch.randn(items, dim, generator=generator)
