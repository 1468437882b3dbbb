"""k-means whose codes are used about equally often, by a rule that sees one item at a time.

Sinkhorn's algorithm (Cuturi 2013) finds what each code must cost for all to be taken equally often: LC-Rec's uniform
mapping (arXiv 2311.09049). With the costs kept, a new item takes the code of the least squared distance + cost, and
no item depends on its batch. A cost is kept as one more coordinate of its centroid, the lift, which is 0 in every
item: squared distances grow by its square (Aurenhammer 1987, power diagrams), and `assign` serves as it is.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from models.quantizers.kmeans import assign, kmeans

_CHUNK_ELEMENTS = 1 << 22  # distances held at once
_ROUNDS, _STEPS = 2, 60  # centroids move between the rounds
_SHARP = 0.003  # of the mean distance to the nearest centroid: how undecided items are at last


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

    Rows count as one each whatever their weight, because equal rows cannot be parted.

    returns  [used, dim + 1] float32, the lift last; `assign(pad(x, (0, 1)), ...)` is balanced as far as rows differ
    """
    centroids = kmeans(
        x, weights, codes=codes, iterations=iterations, seed=seed, tick=tick, start=start, residual=residual
    )
    size = x.abs().max().clamp_min(torch.finfo(x.dtype).tiny)  # squares of huge values must not overflow
    x, centroids = x / size, centroids / size
    costs = torch.zeros(len(centroids))
    first = x.square().sum(1).mean()  # costs must reach as far as centroids lie apart
    last = _SHARP * (x - centroids[assign(x, centroids)]).square().sum(1).mean()
    for again in range(_ROUNDS if last > 0 else 0):
        if again:
            centroids = _means(x, assign(pad(x, (0, 1)), _lifted(centroids, costs)), centroids)
        for soft in first * (last / first) ** torch.linspace(0, 1, _STEPS):
            costs += soft * torch.log(_taken(x, centroids, costs, soft) * len(centroids) / len(x))
    return _lifted(centroids, costs) * size


def _taken(x: Tensor, centroids: Tensor, costs: Tensor, soft: Tensor) -> Tensor:
    """How many rows [codes] take each code when each row spreads over the codes by softmin; never quite 0."""
    offsets = centroids.square().sum(1) + costs
    taken = torch.full((len(centroids),), 1e-3)
    for rows in torch.split(x, max(1, _CHUNK_ELEMENTS // len(centroids))):
        taken += torch.softmax(torch.addmm(-offsets, rows, centroids.T, alpha=2) / soft, dim=1).sum(0)
    return taken


def _lifted(centroids: Tensor, costs: Tensor) -> Tensor:
    lift = (costs - costs.min()).sqrt()  # what all codes cost alike does not matter
    return torch.cat([centroids, lift[:, None]], dim=1)


def _means(x: Tensor, labels: Tensor, centroids: Tensor) -> Tensor:
    """Centroids moved to the mean of their rows; those without rows stay."""
    count = torch.bincount(labels, minlength=len(centroids))[:, None]
    sums = torch.zeros_like(centroids).index_add_(0, labels, x)
    return torch.where(count > 0, sums / count.clamp_min(1), centroids)
