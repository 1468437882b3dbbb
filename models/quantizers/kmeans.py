"""Weighted k-means in torch: seeded, on all points, with bounded memory.

Plain Lloyd iterations after a k-means++ start (Arthur and Vassilvitskii, 2007). faiss is not used because its
k-means has no weights, and the residual levels need a result that does not depend on how often a vector came.
"""

from collections.abc import Callable

import torch
from torch import Tensor

_CHUNK_ELEMENTS = 1 << 22  # distances held at once, so that [items, codes] never is
_START_POINTS_PER_CODE = 64  # k-means++ passes over its points once per code


def assign(x: Tensor, centroids: Tensor) -> Tensor:
    """Find the nearest centroid of every row; of equally near ones, the lower code.

    x          [items, dim]
    centroids  [codes, dim], same dtype
    returns    [items] int64
    """
    return _nearest(x, centroids)[0]


def kmeans(
    x: Tensor,
    weights: Tensor,
    *,
    codes: int,
    iterations: int,
    seed: int,
    tick: Callable[[int], None],
    start: Tensor | None = None,
) -> Tensor:
    """Fit centroids; the caller brings distinct rows in an order of its own choosing.

    x        [items, dim] float32, finite
    weights  [items] how often each row counts, above 0
    tick     called with 1 after every iteration, with all that are left when nothing moves any more
    start    [at most codes, dim] centroids to go on from; None: k-means++
    returns  [used, dim] float32; used is below `codes` only where x has fewer (numerically) distinct rows
    """
    size = x.abs().max().clamp_min(torch.finfo(x.dtype).tiny)  # squares of huge values must not overflow
    scaled, weights = x / size, weights.to(x.dtype)
    drawn = _plus_plus(scaled, weights, codes, torch.Generator().manual_seed(seed))
    centroids = drawn if start is None else torch.cat([start.to(x) / size, drawn[len(start) :]])
    before = torch.full((len(x),), -1, device=x.device)
    for done in range(iterations):
        labels, distances = _nearest(scaled, centroids)
        if torch.equal(labels, before):
            tick(iterations - done)
            break
        before = labels
        centroids = move_centroids(scaled, weights, labels, distances, centroids)
        tick(1)
    used = torch.unique(assign(scaled, centroids))
    return centroids[used] * size


def _nearest(x: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor]:
    """Return the nearest code [items] and the squared distance to it [items]."""
    half_norms = centroids.square().sum(1) / 2
    rows = max(1, _CHUNK_ELEMENTS // len(centroids))
    labels, distances = [], []
    for first in range(0, len(x), rows):
        chunk = x[first : first + rows]
        nearness, nearest = torch.addmm(half_norms, chunk, centroids.T, beta=-1).max(1)
        labels.append(nearest)
        distances.append((chunk.square().sum(1) - 2 * nearness).clamp_min(0))
    return torch.cat(labels), torch.cat(distances)


def _plus_plus(x: Tensor, weights: Tensor, codes: int, generator: torch.Generator) -> Tensor:
    """Draw the start: each next centroid with probability proportional to its squared distance so far."""
    if len(x) > codes * _START_POINTS_PER_CODE:
        chosen = torch.randperm(len(x), generator=generator)[: codes * _START_POINTS_PER_CODE].to(x.device)
        x, weights = x[chosen], weights[chosen]
    draws = torch.rand(codes, generator=generator, dtype=torch.float64).to(x.device)
    norms, distances = x.square().sum(1), torch.ones_like(weights)
    picked: list[Tensor] = []
    for draw in draws:
        mass = torch.cumsum((distances * weights).double(), 0)
        if mass[-1] <= 0:  # every point is a centroid already
            break
        row = torch.searchsorted(mass, draw * mass[-1], right=True).clamp_max(len(x) - 1)
        squared = (norms + norms[row] - 2 * (x @ x[row])).clamp_min(0)
        squared[row] = 0  # exactly, so that no row is drawn twice
        distances = torch.minimum(distances, squared) if picked else squared
        picked.append(row)
    return x[torch.stack(picked)]


def move_centroids(x: Tensor, weights: Tensor, labels: Tensor, distances: Tensor, centroids: Tensor) -> Tensor:
    """Move centroids to the mean of their rows; empty ones to the rows that are farthest from theirs."""
    codes = len(centroids)
    mass = torch.zeros(codes, dtype=x.dtype, device=x.device).index_add_(0, labels, weights)
    sums = torch.zeros_like(centroids).index_add_(0, labels, x * weights[:, None])
    empty = torch.nonzero(mass == 0).squeeze(1)
    moved = torch.where(mass[:, None] > 0, sums / mass.clamp_min(1)[:, None], centroids)
    if len(empty):
        farthest = torch.argsort(distances * weights, descending=True, stable=True)[: len(empty)]
        moved[empty[: len(farthest)]] = x[farthest]
    return moved
