"""A made-up catalogue with codes, and a made-up model that scores them."""

import torch
from torch import Tensor

from models.generator.scoring import Step


def make_codes(items: int, *sizes: int, seed: int = 0) -> Tensor:
    """Different random codes for all items: [items, len(sizes) + 1]. The last code tells items of equal codes apart."""
    generator = torch.Generator().manual_seed(seed)
    codes = torch.stack([torch.randint(size, (items,), generator=generator) for size in sizes], 1)
    twins = [int((codes[:item] == codes[item]).all(1).sum()) for item in range(items)]
    return torch.cat([codes, torch.tensor(twins).unsqueeze(1)], 1)


def make_step(*sizes: int, users: int, seed: int = 0, spread: float = 1.0) -> Step:
    """A model whose log-probabilities depend on the user and all codes of the prefix, not on the rows around them."""
    generator = torch.Generator().manual_seed(seed)
    by_user = [spread * torch.randn(users, size, generator=generator) for size in sizes]
    by_code = [[spread * torch.randn(before, size, generator=generator) for before in sizes] for size in sizes]

    def step(level: int, rows: Tensor, prefixes: Tensor) -> Tensor:
        logits = by_user[level][rows]
        for depth, codes in enumerate(prefixes.unbind(1)):
            logits = logits + by_code[level][depth][codes]
        return logits.log_softmax(1)

    return step
