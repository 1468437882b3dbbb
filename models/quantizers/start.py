"""Where k-means starts.

k-means++ (Arthur and Vassilvitskii, 2007): each next centroid is drawn by its squared distance to those before. Drawn
by rejection, many at a time: distances only shrink, so that a candidate drawn by older distances, kept with the
probability newer over older, is one drawn by the newer ones (Cohen-Addad et al., 2020, arXiv 2012.11891). That makes
one pass over the points for as many centroids as there are already, instead of one for each.

What other levels leave of vectors has no clusters: there k-means++ draws outliers, which stay alone, while one code
gathers up to half of the items. Means of a few rows lie where the rows are (compared in bench/README.md).
"""

import torch
from torch import Tensor

from models.quantizers.nearest import Nearest

_POINTS_PER_CODE = 64  # that are drawn from
_ROWS_PER_MEAN = 4


def plus_plus(
    x: Tensor, weights: Tensor, codes: int, scale: float, device: torch.device, generator: torch.Generator
) -> Tensor:
    """Draw a start.

    x        [items, dim] float32
    weights  [items] above 0
    scale    what rows are multiplied by
    returns  [drawn, dim] float32 on the device; fewer than `codes` where rows are fewer
    """
    if len(x) > codes * _POINTS_PER_CODE:
        chosen = torch.randperm(len(x), generator=generator)[: codes * _POINTS_PER_CODE].sort().values
        x, weights = x[chosen.to(x.device)], weights[chosen.to(weights.device)]
    x, mass = x.to(device) * scale, weights.cpu().double()
    picked = _draw(mass, 1, generator)
    distances = _distances(x, picked)
    while len(picked) < codes and bool((distances > 0).any()):
        drawn = _draw(mass * distances, min(len(picked), codes - len(picked)), generator)
        kept = drawn[_kept(x[drawn.to(device)], drawn, distances[drawn], generator)]
        distances = torch.minimum(distances, _distances(x, kept))
        picked = torch.cat([picked, kept])
    return x[picked.to(device)]


def means_of_few(
    x: Tensor, weights: Tensor, codes: int, scale: float, device: torch.device, generator: torch.Generator
) -> Tensor:
    """Means of rows drawn without replacement; arguments and result as of `plus_plus`."""
    count = max(1, min(_ROWS_PER_MEAN, len(x) // codes))
    groups = torch.randperm(len(x), generator=generator)[: codes * count].view(-1, count)
    rows, mass = x[groups.to(x.device)].to(device).double(), weights[groups.to(weights.device)].to(device).double()
    means = (rows * mass[..., None]).sum(1) / mass.sum(1, keepdim=True)
    return (means * scale).float()


def _draw(mass: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Rows [count] drawn by their mass, on the processor, where a seed means the same everywhere."""
    total = torch.cumsum(mass, 0)
    points = torch.rand(count, generator=generator, dtype=torch.float64) * total[-1]
    return torch.searchsorted(total, points, right=True).clamp_max(len(mass) - 1)


def _kept(candidates: Tensor, drawn: Tensor, older: Tensor, generator: torch.Generator) -> Tensor:
    """Which of the candidates [n, dim] stay, as places: the first always does."""
    between = _squared(candidates, candidates).cpu()
    between[drawn[:, None] == drawn] = 0  # exactly, so that no row is drawn twice
    bar = torch.rand(len(drawn), generator=generator, dtype=torch.float64) * older
    newer, kept = older.clone(), []
    for place in range(len(drawn)):
        if bar[place] < newer[place]:
            kept.append(place)
            newer = torch.minimum(newer, between[place])
    return torch.tensor(kept, dtype=torch.int64)


def _squared(x: Tensor, y: Tensor) -> Tensor:
    return (x.square().sum(1)[:, None] + y.square().sum(1) - 2 * (x @ y.T)).clamp_min(0)


def _distances(x: Tensor, picked: Tensor) -> Tensor:
    """Squared distance of every row [items] to the nearest of the picked ones, 0 for these."""
    distances = Nearest(x[picked.to(x.device)])(x)[1].cpu()
    distances[picked] = 0
    return distances
