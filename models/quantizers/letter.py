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
        self.groups: list[_Groups] = []

    def forward(self, rows: Tensor, codes: Tensor, rebuilt: Tensor, step: int) -> Tensor:
        """codes [batch, levels]; mean over the levels"""
        if step % _REGROUP == 0:
            self.groups = [_Groups(level.detach(), step) for level in self.levels]
        losses = [self._loss(*level) for level in zip(self.levels, self.groups, codes.T, strict=True)]
        return torch.stack(losses).mean()

    def _loss(self, level: Tensor, groups: "_Groups", codes: Tensor) -> Tensor:
        codes = codes[groups.others[codes] > 0]
        if not len(codes):
            return level.new_zeros(())
        friends = groups.draw(codes, self.generator)
        similar = level[codes] @ level.T
        own = torch.zeros_like(similar, dtype=torch.bool)
        own[torch.arange(len(codes)), codes] = True
        return cross_entropy(similar.masked_fill(own, -torch.inf), friends)


class _Groups:
    """Clusters of the codes of a level; others [codes]: how many more there are in each code's own."""

    def __init__(self, level: Tensor, seed: int) -> None:
        count = min(_GROUPS, len(level))
        centres = kmeans(level, torch.ones(len(level)), codes=count, iterations=5, seed=seed, tick=lambda _: None)
        group = assign(level, centres)
        sizes = torch.bincount(group, minlength=count)
        self.others, self.start = sizes[group] - 1, (sizes.cumsum(0) - sizes)[group]
        self.members = torch.argsort(group, stable=True)
        self.place = torch.argsort(self.members) - self.start

    def draw(self, codes: Tensor, generator: torch.Generator) -> Tensor:
        """Another code of each one's cluster, all equally likely."""
        drawn = (torch.rand(len(codes), generator=generator, dtype=torch.float64) * self.others[codes]).long()
        drawn += drawn >= self.place[codes]  # not itself
        return self.members[self.start[codes] + drawn]
