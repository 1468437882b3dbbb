"""The two losses that LETTER (arXiv 2405.07314), section 3.2, adds to those of an RQ-VAE."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear, normalize

from models.quantizers.kmeans import kmeans
from models.quantizers.nearest import assign

_TEMPERATURE = 0.1
_GROUPS, _REGROUP = 10, 50  # groups of the codes of a level, made again after so many steps


class Collaborative(nn.Module):
    """Pulls an item's rebuilt latent to the item's collaborative vector, away from those of other items of the batch.

    In LETTER, latents and collaborative vectors have the same width and are compared by inner products. We put a linear
    map between them and compare by cosine and a temperature, so that the length of the vectors does not matter.
    """

    target: Tensor

    def __init__(self, vectors: Tensor, latent: int, generator: torch.Generator) -> None:
        """vectors: [items, any]; latent: its width"""
        super().__init__()
        self.register_buffer("target", normalize(vectors, dim=1))
        self.map = nn.Parameter(torch.empty(vectors.shape[1], latent))
        nn.init.xavier_uniform_(self.map, generator=generator)

    def forward(self, rows: Tensor, codes: Tensor, rebuilt: Tensor, step: int) -> Tensor:
        """rows [batch]: numbers of the items; rebuilt [batch, latent]"""
        similarity = normalize(linear(rebuilt, self.map), dim=1) @ self.target[rows].T / _TEMPERATURE
        is_same_item = rows[:, None] == rows  # an item that was drawn twice is no negative of itself
        is_same_item.fill_diagonal_(False)
        return cross_entropy(similarity.masked_fill(is_same_item, -torch.inf), torch.arange(len(rows)))


class Diversity(nn.Module):
    """Pulls the code that an item takes to another code of its group, away from all others of the level.

    Groups are clusters of codes. LETTER makes them equally large; ours come from plain k-means.
    """

    def __init__(self, levels: Iterable[nn.Parameter], generator: torch.Generator) -> None:
        super().__init__()
        self.levels, self.generator = list(levels), generator
        self.groups: list[_Groups] = []

    def forward(self, rows: Tensor, codes: Tensor, rebuilt: Tensor, step: int) -> Tensor:
        """codes [batch, levels]. returns the mean over the levels"""
        if step % _REGROUP == 0:
            self.groups = [_Groups(level.detach(), step) for level in self.levels]
        losses = [self._loss(*level) for level in zip(self.levels, self.groups, codes.T, strict=True)]
        return torch.stack(losses).mean()

    def _loss(self, level: Tensor, groups: "_Groups", codes: Tensor) -> Tensor:
        codes = codes[groups.others[codes] > 0]
        if not len(codes):
            return level.new_zeros(())
        targets = groups.draw_other(codes, self.generator)
        similarity = level[codes] @ level.T
        is_itself = torch.zeros_like(similarity, dtype=torch.bool)
        is_itself[torch.arange(len(codes)), codes] = True
        return cross_entropy(similarity.masked_fill(is_itself, -torch.inf), targets)


class _Groups:
    """Clusters of the codes of a level. others [codes]: how many other codes are in each code's group."""

    def __init__(self, level: Tensor, seed: int) -> None:
        count = min(_GROUPS, len(level))
        centres = kmeans(level, torch.ones(len(level)), codes=count, iterations=5, seed=seed, tick=lambda _: None)
        group = assign(level, centres)
        sizes = torch.bincount(group, minlength=count)
        self.others, self.start = sizes[group] - 1, (sizes.cumsum(0) - sizes)[group]
        self.members = torch.argsort(group, stable=True)
        self.place = torch.argsort(self.members) - self.start

    def draw_other(self, codes: Tensor, generator: torch.Generator) -> Tensor:
        """For each code another code of its group, all equally likely."""
        drawn = (torch.rand(len(codes), generator=generator, dtype=torch.float64) * self.others[codes]).long()
        drawn += drawn >= self.place[codes]  # skip the code itself
        return self.members[self.start[codes] + drawn]
