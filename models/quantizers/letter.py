"""LETTER's two losses beside those of an RQ-VAE (arXiv 2405.07314), section 3.2."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear, normalize

from models.quantizers.kmeans import assign, kmeans

_TEMPERATURE = 0.1
_GROUPS, _REGROUP = 10, 50  # of the codes of a level, found anew after so many steps


class Collaborative(nn.Module):
    """Pulls an item's rebuilt latent to the item's collaborative vector, away from those of the batch's other items.

    In LETTER latents and collaborative vectors have one width and meet as inner products; here a linear map lies
    between, and cosines with a temperature make the vectors' length irrelevant.
    """

    target: Tensor

    def __init__(self, vectors: Tensor, latent: int, generator: torch.Generator) -> None:
        """vectors: [items, any]; latent: its width"""
        super().__init__()
        self.register_buffer("target", normalize(vectors, dim=1))
        self.map = nn.Parameter(torch.empty(vectors.shape[1], latent))
        nn.init.xavier_uniform_(self.map, generator=generator)

    def forward(self, rows: Tensor, codes: Tensor, rebuilt: Tensor, step: int) -> Tensor:
        """rows [batch]: which items; rebuilt [batch, latent]"""
        similar = normalize(linear(rebuilt, self.map), dim=1) @ self.target[rows].T / _TEMPERATURE
        again = rows[:, None] == rows  # an item that was drawn twice is no negative of itself
        again.fill_diagonal_(False)
        return cross_entropy(similar.masked_fill(again, -torch.inf), torch.arange(len(rows)))


class Diversity(nn.Module):
    """Pulls the code that an item takes to another code of its group, away from all others of the level.

    Groups are clusters of codes. LETTER makes them of the same size; here they are plain k-means.
    """

    def __init__(self, levels: Iterable[nn.Parameter], generator: torch.Generator) -> None:
        super().__init__()
        self.levels, self.generator = list(levels), generator
        self.groups: list[Tensor] = []

    def forward(self, rows: Tensor, codes: Tensor, rebuilt: Tensor, step: int) -> Tensor:
        """codes [batch, levels]; mean over the levels"""
        if step % _REGROUP == 0:
            self.groups = [_groups(level.detach(), step) for level in self.levels]
        losses = [self._loss(*level) for level in zip(self.levels, self.groups, codes.T, strict=True)]
        return torch.stack(losses).mean()

    def _loss(self, level: Tensor, groups: Tensor, codes: Tensor) -> Tensor:
        friends = (groups[codes][:, None] == groups).float()
        friends[torch.arange(len(codes)), codes] = 0
        codes, friends = codes[friends.any(1)], friends[friends.any(1)]
        if not len(codes):
            return level.new_zeros(())
        drawn = torch.multinomial(friends, 1, generator=self.generator).squeeze(1)
        similar = level[codes] @ level.T
        own = torch.zeros_like(similar, dtype=torch.bool)
        own[torch.arange(len(codes)), codes] = True
        return cross_entropy(similar.masked_fill(own, -torch.inf), drawn)


def _groups(level: Tensor, seed: int) -> Tensor:
    """The group of every code [codes]."""
    count = min(_GROUPS, len(level))
    centres = kmeans(level, torch.ones(len(level)), codes=count, iterations=5, seed=seed, tick=lambda _: None)
    return assign(level, centres)
