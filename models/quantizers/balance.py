"""k-means whose codes are used about equally often, by a rule that looks at one item at a time.

Sinkhorn's algorithm (Cuturi 2013) finds what each code must cost so that all codes are taken equally often; LC-Rec
(arXiv 2311.09049) maps items uniformly in this way. We keep the costs: a new item takes the code with the least sum of
squared distance and cost, so no item depends on its batch. A cost is kept as one more coordinate of its centroid, the
lift. Items have 0 there, so the lift adds its square to the squared distance (Aurenhammer 1987, power diagrams), and
`assign` can be used unchanged.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from models.quantizers.kmeans import kmeans
from models.quantizers.nearest import assign

_CHUNK_ELEMENTS = 1 << 22  # distances in memory at once
_ROUNDS, _STEPS = 2, 60  # rounds of so many steps; centroids move between the rounds
_FINAL_SOFTNESS = 0.003  # of the mean squared distance to the nearest centroid: how undecided items are at last


def balanced_kmeans(
    x: Tensor,
    weights: Tensor,
    *,
    codes: int,
    iterations: int,
    seed: int,
    tick: Callable[[int], None],
    start: Tensor | None = None,
    residual: bool = False,
) -> Tensor:
    """Fit centroids and their lifts; arguments as of `kmeans`.

    Every row counts once, whatever its weight, because equal rows cannot get different codes.

    returns  [used, dim + 1] float32, the lift last; `assign(pad(x, (0, 1)), ...)` is balanced as far as rows differ
    source   LC-Rec (arXiv 2311.09049), section 3.2
    """
    centroids = kmeans(
        x, weights, codes=codes, iterations=iterations, seed=seed, tick=tick, start=start, residual=residual
    )
    size = x.abs().max().clamp_min(torch.finfo(x.dtype).tiny)  # squares of huge values must not overflow
    x, centroids = x / size, centroids / size
    costs = torch.zeros(len(centroids))
    first = x.square().sum(1).mean()  # costs must reach as far as centroids are apart
    last = _FINAL_SOFTNESS * (x - centroids[assign(x, centroids)]).square().sum(1).mean()
    for number in range(_ROUNDS if last > 0 else 0):
        if number:
            centroids = _move_to_means(x, assign(pad(x, (0, 1)), _append_lifts(centroids, costs)), centroids)
        for softness in first * (last / first) ** torch.linspace(0, 1, _STEPS):
            costs += softness * torch.log(_count_soft(x, centroids, costs, softness) * len(centroids) / len(x))
    return _append_lifts(centroids, costs) * size


def _count_soft(x: Tensor, centroids: Tensor, costs: Tensor, softness: Tensor) -> Tensor:
    """How many rows [codes] take each code if each row spreads over the codes by softmin; never quite 0."""
    offsets = centroids.square().sum(1) + costs
    counts = torch.full((len(centroids),), 1e-3)
    for rows in torch.split(x, max(1, _CHUNK_ELEMENTS // len(centroids))):
        counts += torch.softmax(torch.addmm(-offsets, rows, centroids.T, alpha=2) / softness, dim=1).sum(0)
    return counts


def _append_lifts(centroids: Tensor, costs: Tensor) -> Tensor:
    lifts = (costs - costs.min()).sqrt()  # a cost that all codes share makes no difference
    return torch.cat([centroids, lifts[:, None]], dim=1)


def _move_to_means(x: Tensor, labels: Tensor, centroids: Tensor) -> Tensor:
    """Move centroids to the mean of their rows; those without rows stay."""
    counts = torch.bincount(labels, minlength=len(centroids))[:, None]
    sums = torch.zeros_like(centroids).index_add_(0, labels, x)
    return torch.where(counts > 0, sums / counts.clamp_min(1), centroids)
