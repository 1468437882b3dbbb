"""Weighted k-means in torch: seeded, on all points, with bounded memory, on one device or on one for each rank.

Plain Lloyd iterations after a drawn start (`models.quantizers.start`). Rows are read block by block, so that they may
lie in a file; kept of each are its code and its distance. faiss is not used because it copies all points, knows no
several processes, and is slower where bfloat16 is quick (bench/kmeans.py).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.functional import embedding_bag

from models.precision import fast_bfloat16
from models.quantizers.nearest import Nearest, QuickNearest, assign, each
from models.quantizers.start import means_of_few, plus_plus

__all__ = ["assign", "kmeans"]

_CHUNK_ROWS, _CHUNK_ROWS_ON_GPU = 1 << 14, 1 << 18  # moved to the device, and summed in float32, at once
_SOME_ROWS = 1024
_SAME = 64 * torch.finfo(torch.float32).eps ** 2  # squared distance over squared norm: rounding, no difference


def kmeans(
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
    """Fit centroids; the caller brings rows, distinct but for residuals, in an order of its own choosing.

    On the GPU if there is one. With `torch.distributed` every rank calls this with the same rows and does its share.

    x        [items, dim] float32, finite; may be mapped from a file
    weights  [items] how often each row counts, above 0
    tick     called with 1 after every iteration, with all that are left when nothing moves any more
    start    [at most codes, dim] centroids to go on from; the others are drawn as if there were none
    residual rows are what another level left: the start is drawn for these
    returns  [used, dim] float32; used is below `codes` only where x has fewer (numerically) distinct rows, or about as
             few and many copies of them
    raises   ValueError if `start` has more rows, or of another length
    """
    if start is not None and (len(start) > codes or start.shape[1] != x.shape[1]):
        raise ValueError(f"start must have shape [at most {codes}, {x.shape[1]}], not {list(start.shape)}")
    rows = _Rows(x, weights)
    held = x.new_zeros(0, x.shape[1]) if start is None else start
    first = held.to(rows.device, torch.float32) * rows.scale
    if len(held) < codes:
        draw = means_of_few if residual else plus_plus
        drawn = draw(x, weights, codes, rows.scale, rows.device, torch.Generator().manual_seed(seed))
        first = torch.cat([first, drawn[len(held) :]])
    centroids = _from_first_rank(first)
    alive = torch.ones(len(centroids), dtype=torch.bool, device=rows.device)
    for done in range(iterations):
        step = rows.assign(centroids)
        if step.settled:
            tick(iterations - done)
            break
        centroids, alive = _move(rows, step, centroids)
        tick(1)
    return (centroids[alive] / rows.scale).to(x.device)


@dataclass(frozen=True)
class _Step:
    sums: Tensor  # [codes, dim] float64, of scaled rows by weight
    mass: Tensor  # [codes] float64
    settled: bool  # no row has another code than before


class _Rows:
    """This rank's share of the rows, as they come scaled to the device, with the code of each and its distance."""

    def __init__(self, x: Tensor, weights: Tensor) -> None:
        rank, ranks = (dist.get_rank(), dist.get_world_size()) if _several() else (0, 1)
        share = slice(len(x) * rank // ranks, len(x) * (rank + 1) // ranks)
        self.x, self.weights = x[share], weights[share]
        self.device = x.device if x.is_cuda or not torch.cuda.is_available() else torch.device("cuda")
        self.step = _CHUNK_ROWS_ON_GPU if self.device.type == "cuda" else _CHUNK_ROWS
        self.scale = 2.0 ** -_exponent(x)
        self.labels = torch.full((len(self.x),), -1, device=self.device)
        self.distances = torch.zeros(len(self.x), device=self.device)

    def assign(self, centroids: Tensor) -> _Step:
        """Give every row its nearest centroid, and sum up the rows of each."""
        sums = torch.zeros_like(centroids, dtype=torch.float64)
        mass, moved = sums.new_zeros(len(centroids)), sums.new_zeros(1)
        nearest = self._nearest(centroids)

        def work(first: int) -> tuple[Tensor, Tensor, int]:
            at = slice(first, first + self.step)
            rows, weights = self.x[at].to(self.device), self.weights[at].to(self.device, torch.float32)
            labels, self.distances[at] = nearest(rows)
            changed = int((labels != self.labels[at]).sum())
            self.labels[at] = labels
            part = torch.bincount(labels, weights.double(), minlength=len(centroids))
            return _sums(rows, weights * self.scale, labels, len(centroids)), part, changed

        for rows, weight, changed in each(work, range(0, len(self.x), self.step), self.device):
            sums, mass, moved = sums + rows, mass + weight, moved + changed
        for part in (sums, mass, moved):
            _summed(part)
        return _Step(sums, mass, settled=not moved.item())

    def _nearest(self, centroids: Tensor) -> Nearest:
        some = self.x[:_SOME_ROWS].to(self.device)
        if fast_bfloat16() and len(centroids) <= QuickNearest.CODES and len(some):
            return QuickNearest(centroids, self.scale, some)
        return Nearest(centroids, self.scale)

    def farthest(self, count: int, centroids: Tensor) -> Tensor:
        """The scaled rows [at most count, dim] that are farthest from their centroids by weight, of all ranks."""
        found = torch.full((count, centroids.shape[1] + 1), -1.0, device=self.device)
        far = self.distances * self.weights.to(self.device)
        order = torch.argsort(far, descending=True, stable=True)[:count]
        rows = self.x[order.to(self.x.device)].to(self.device) * self.scale
        gap = (rows - centroids[self.labels[order]]).square().sum(1)
        apart = gap > _SAME * rows.square().sum(1)  # as rounding may tell a row from its equal
        found[: len(order)] = torch.cat([torch.where(apart, far[order], -1)[:, None], rows], 1)
        found = _gathered(found)
        found = found[torch.argsort(found[:, 0], descending=True, stable=True)[:count]]
        return _once(found[found[:, 0] >= 0, 1:])


def _once(rows: Tensor) -> Tensor:
    """Each different row once, in the order they come: residuals of different items may be the same."""
    of = torch.unique(rows, dim=0, return_inverse=True)[1]
    order = torch.argsort(of, stable=True)
    new = torch.ones_like(of, dtype=torch.bool)
    new[1:] = of[order][1:] != of[order][:-1]
    return rows[order[new].sort().values]


def _exponent(x: Tensor) -> int:
    """Of the power of two above all values: squares of huge values must not overflow, and it rounds nothing."""
    largest = torch.stack([part.abs().max() for part in torch.split(x, _CHUNK_ROWS)]).max()
    return max(-126, min(126, int(largest.frexp().exponent)))


def _sums(chunk: Tensor, weights: Tensor, labels: Tensor, codes: int) -> Tensor:
    """[codes, dim]: rows by weight, each code's in their order, so that threads do not change the result."""
    order = torch.argsort(labels, stable=True)
    counts = torch.bincount(labels, minlength=codes)
    return embedding_bag(order, chunk, counts.cumsum(0) - counts, mode="sum", per_sample_weights=weights[order])


def _move(rows: _Rows, step: _Step, centroids: Tensor) -> tuple[Tensor, Tensor]:
    """Move centroids to the mean of their rows; empty ones to the rows that are farthest from theirs.

    returns  centroids [codes, dim], and which of them [codes] have a row
    """
    alive = step.mass > 0
    means = (step.sums / step.mass.clamp_min(torch.finfo(torch.float64).tiny)[:, None]).to(centroids.dtype)
    moved = torch.where(alive[:, None], means, centroids)
    empty = torch.nonzero(~alive).squeeze(1)
    if len(empty):
        farthest = rows.farthest(len(empty), centroids)
        moved[empty[: len(farthest)]] = farthest
        alive[empty[: len(farthest)]] = True
    return moved, alive


def _several() -> bool:
    return dist.is_available() and dist.is_initialized()


def _summed(part: Tensor) -> None:
    if _several():
        dist.all_reduce(part)


def _gathered(part: Tensor) -> Tensor:
    if not _several():
        return part
    parts = [torch.empty_like(part) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, part)
    return torch.cat(parts)


def _from_first_rank(part: Tensor) -> Tensor:
    if _several():
        dist.broadcast(part, 0)
    return part
