"""Draw the centroids that k-means starts from.

k-means++ (Arthur and Vassilvitskii, 2007) draws each next centroid with a probability that grows with the squared
distance to those before. We draw many at a time, by rejection (Cohen-Addad et al., 2020, arXiv 2012.11891): distances
only shrink, so a candidate that was drawn by older distances and is kept with the probability newer / older is as if
drawn by the newer ones. One pass over the rows then brings as many centroids as there are already, instead of one.

What earlier levels leave of the vectors has no clusters. There k-means++ draws outliers, which stay alone, while one
code gathers up to half of the items. Means of a few random rows lie where the rows are. docs/results/quantize.md
compares both.
"""

import torch
from torch import Tensor

from models.quantizers.nearest import NearestCentroid

_ROWS_PER_CODE = 64  # that k-means++ draws from
_ROWS_PER_MEAN = 4


def draw_plus_plus(
    x: Tensor, weights: Tensor, codes: int, scale: float, device: torch.device, generator: torch.Generator
) -> Tensor:
    """Draw rows by k-means++.

    x        [items, dim] float32
    weights  [items] above 0
    scale    what rows are multiplied by
    returns  [drawn, dim] float32 on the device; fewer than `codes` if there are fewer distinct rows
    """
    if len(x) > codes * _ROWS_PER_CODE:
        chosen = torch.randperm(len(x), generator=generator)[: codes * _ROWS_PER_CODE].sort().values
        x, weights = x[chosen.to(x.device)], weights[chosen.to(weights.device)]
    x, mass = x.to(device) * scale, weights.cpu().double()
    picked = _draw_by_mass(mass, 1, generator)
    distances = _measure_distances(x, picked)
    while len(picked) < codes and bool((distances > 0).any()):
        candidates = _draw_by_mass(mass * distances, min(len(picked), codes - len(picked)), generator)
        kept = candidates[_reject(x[candidates.to(device)], candidates, distances[candidates], generator)]
        distances = torch.minimum(distances, _measure_distances(x, kept))
        picked = torch.cat([picked, kept])
    return x[picked.to(device)]


def draw_means_of_few(
    x: Tensor, weights: Tensor, codes: int, scale: float, device: torch.device, generator: torch.Generator
) -> Tensor:
    """Draw means of a few rows each, every row at most once; arguments and result as of `draw_plus_plus`."""
    count = max(1, min(_ROWS_PER_MEAN, len(x) // codes))
    groups = torch.randperm(len(x), generator=generator)[: codes * count].view(-1, count)
    rows, mass = x[groups.to(x.device)].to(device).double(), weights[groups.to(weights.device)].to(device).double()
    means = (rows * mass[..., None]).sum(1) / mass.sum(1, keepdim=True)
    return (means * scale).float()


def _draw_by_mass(mass: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Numbers of rows [count] drawn by their mass; on the CPU, where a seed means the same on every machine."""
    total = torch.cumsum(mass, 0)
    points = torch.rand(count, generator=generator, dtype=torch.float64) * total[-1]
    return torch.searchsorted(total, points, right=True).clamp_max(len(mass) - 1)


def _reject(rows: Tensor, candidates: Tensor, older: Tensor, generator: torch.Generator) -> Tensor:
    """Choose which candidates to keep: the places of these. The first one is always kept.

    rows        [candidates, dim]
    candidates  [candidates] their numbers
    older       [candidates] the squared distances that they were drawn by
    """
    between = _measure_between(rows, rows).cpu()
    between[candidates[:, None] == candidates] = 0  # exactly, so that no row is kept twice
    bar = torch.rand(len(candidates), generator=generator, dtype=torch.float64) * older
    newer, kept = older.clone(), []
    for place in range(len(candidates)):
        if bar[place] < newer[place]:
            kept.append(place)
            newer = torch.minimum(newer, between[place])
    return torch.tensor(kept, dtype=torch.int64)


def _measure_between(x: Tensor, y: Tensor) -> Tensor:
    """Squared distances between all rows of x and all rows of y."""
    return (x.square().sum(1)[:, None] + y.square().sum(1) - 2 * (x @ y.T)).clamp_min(0)


def _measure_distances(x: Tensor, picked: Tensor) -> Tensor:
    """The squared distance of every row [items] to the nearest picked row, exactly 0 for picked rows."""
    distances = NearestCentroid(x[picked.to(x.device)]).find(x)[1].cpu()
    distances[picked] = 0
    return distances
