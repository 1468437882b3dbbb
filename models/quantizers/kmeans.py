"""Weighted k-means in torch: seeded, on all rows, with bounded memory, on one device or on one for each worker.

Plain Lloyd iterations after a drawn start (`models.quantizers.start`). Rows are read in chunks, so they may be mapped
from a file; of each row, memory holds only its code and its distance. faiss is not used: it copies all rows, cannot
share a fit between processes, and is slower where bfloat16 is fast (compare with bench/kmeans.py).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.functional import embedding_bag

from models.precision import fast_bfloat16
from models.quantizers.distinct import drop_repeats
from models.quantizers.nearest import NearestCentroid, map_on_cores
from models.quantizers.nearest_bfloat16 import Bfloat16NearestCentroid
from models.quantizers.start import draw_means_of_few, draw_plus_plus

_CHUNK_ROWS, _CHUNK_ROWS_ON_GPU = 1 << 14, 1 << 18  # moved to the device, and summed in float32, at once
_SAMPLE_ROWS = 1024
_SAME = 64 * torch.finfo(torch.float32).eps ** 2  # squared distance over squared norm: less is only rounding


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
    """Fit centroids on rows that are distinct (residuals may repeat), in an order that the caller chooses.

    Runs on the GPU if there is one. With `torch.distributed`, every worker calls this with the same rows and does its
    share.

    x         [items, dim] float32, finite; may be mapped from a file
    weights   [items] how often each row counts, above 0
    tick      called with 1 after every iteration, and with the number of all that are left once no row changes its code
    start     [at most codes, dim] centroids to start from; the missing ones are drawn as if there were no start
    residual  whether rows are what an earlier level left; the start is then drawn in another way
    returns   [used, dim] float32; used is below `codes` only if x has fewer distinct rows (as far as float32 tells), or
              about as few and many copies of them
    raises    ValueError if `start` has more rows, or rows of another length
    source    Lloyd, "Least squares quantization in PCM" (1982); for the start see `models.quantizers.start`
    """
    if start is not None and (len(start) > codes or start.shape[1] != x.shape[1]):
        raise ValueError(f"start must have shape [at most {codes}, {x.shape[1]}], not {list(start.shape)}")
    rows = _WorkerRows(x, weights)
    known = x.new_zeros(0, x.shape[1]) if start is None else start
    centroids = known.to(rows.device, torch.float32) * rows.scale
    if len(known) < codes:
        draw = draw_means_of_few if residual else draw_plus_plus
        drawn = draw(x, weights, codes, rows.scale, rows.device, torch.Generator().manual_seed(seed))
        centroids = torch.cat([centroids, drawn[len(known) :]])
    centroids = _broadcast_from_first(centroids)
    alive = torch.ones(len(centroids), dtype=torch.bool, device=rows.device)
    for done in range(iterations):
        assignment = rows.assign(centroids)
        if assignment.is_settled:
            tick(iterations - done)
            break
        centroids, alive = _move(rows, assignment, centroids)
        tick(1)
    return (centroids[alive] / rows.scale).to(x.device)


@dataclass(frozen=True)
class _Assignment:
    """What all rows of one code add up to, over all workers."""

    sums: Tensor  # [codes, dim] float64, of scaled rows by weight
    mass: Tensor  # [codes] float64, sum of weights
    is_settled: bool  # no row has another code than before


class _WorkerRows:
    """This worker's share of the rows, with the code of each row and its distance to the centroid."""

    def __init__(self, x: Tensor, weights: Tensor) -> None:
        worker, workers = (dist.get_rank(), dist.get_world_size()) if _is_distributed() else (0, 1)
        share = slice(len(x) * worker // workers, len(x) * (worker + 1) // workers)
        self.x, self.weights = x[share], weights[share]
        self.device = x.device if x.is_cuda or not torch.cuda.is_available() else torch.device("cuda")
        self.chunk = _CHUNK_ROWS_ON_GPU if self.device.type == "cuda" else _CHUNK_ROWS
        self.scale = 2.0 ** -_find_exponent(x)
        self.labels = torch.full((len(self.x),), -1, device=self.device)
        self.distances = torch.zeros(len(self.x), device=self.device)

    def assign(self, centroids: Tensor) -> _Assignment:
        """Give every row its nearest centroid, and sum up the rows of each centroid."""
        sums = torch.zeros_like(centroids, dtype=torch.float64)
        mass, changed = sums.new_zeros(len(centroids)), sums.new_zeros(1)
        nearest = self._make_search(centroids)

        def assign_chunk(first: int) -> tuple[Tensor, Tensor, int]:
            chunk = slice(first, first + self.chunk)
            rows, weights = self.x[chunk].to(self.device), self.weights[chunk].to(self.device, torch.float32)
            labels, self.distances[chunk] = nearest.find(rows)
            chunk_changed = int((labels != self.labels[chunk]).sum())
            self.labels[chunk] = labels
            chunk_mass = torch.bincount(labels, weights.double(), minlength=len(centroids))
            return _sum_by_code(rows, weights * self.scale, labels, len(centroids)), chunk_mass, chunk_changed

        chunks = range(0, len(self.x), self.chunk)
        for chunk_sums, chunk_mass, chunk_changed in map_on_cores(assign_chunk, chunks, self.device):
            sums, mass, changed = sums + chunk_sums, mass + chunk_mass, changed + chunk_changed
        for total in (sums, mass, changed):
            _sum_over_workers(total)
        return _Assignment(sums, mass, is_settled=not changed.item())

    def _make_search(self, centroids: Tensor) -> NearestCentroid:
        sample = self.x[:_SAMPLE_ROWS].to(self.device)
        if fast_bfloat16() and len(centroids) <= Bfloat16NearestCentroid.MAX_CODES and len(sample):
            return Bfloat16NearestCentroid(centroids, self.scale, sample)
        return NearestCentroid(centroids, self.scale)

    def find_farthest(self, count: int, centroids: Tensor) -> Tensor:
        """The scaled rows [at most count, dim] of all workers that are farthest from their centroids, by weight."""
        candidates = torch.full((count, centroids.shape[1] + 1), -1.0, device=self.device)  # weighted distance, row
        far = self.distances * self.weights.to(self.device)
        order = torch.argsort(far, descending=True, stable=True)[:count]
        rows = self.x[order.to(self.x.device)].to(self.device) * self.scale
        gap = (rows - centroids[self.labels[order]]).square().sum(1)
        is_apart = gap > _SAME * rows.square().sum(1)  # otherwise the row equals its centroid but for rounding
        candidates[: len(order)] = torch.cat([torch.where(is_apart, far[order], -1)[:, None], rows], 1)
        candidates = _gather_from_workers(candidates)
        candidates = candidates[torch.argsort(candidates[:, 0], descending=True, stable=True)[:count]]
        return drop_repeats(candidates[candidates[:, 0] >= 0, 1:])  # residuals of different items may be equal


def _find_exponent(x: Tensor) -> int:
    """The exponent of the power of two above all numbers of x.

    Rows are divided by that power: the squares of huge numbers then do not overflow, and nothing is rounded.
    """
    largest = torch.stack([part.abs().max() for part in torch.split(x, _CHUNK_ROWS)]).max()
    return max(-126, min(126, int(largest.frexp().exponent)))


def _sum_by_code(rows: Tensor, weights: Tensor, labels: Tensor, codes: int) -> Tensor:
    """Weighted sums [codes, dim] of the rows of each code, added in the order of the rows.

    So the result does not depend on the number of threads.
    """
    order = torch.argsort(labels, stable=True)
    counts = torch.bincount(labels, minlength=codes)
    return embedding_bag(order, rows, counts.cumsum(0) - counts, mode="sum", per_sample_weights=weights[order])


def _move(rows: _WorkerRows, assignment: _Assignment, centroids: Tensor) -> tuple[Tensor, Tensor]:
    """Move each centroid to the mean of its rows, and those without rows to the rows farthest from their centroids.

    returns  centroids [codes, dim], and whether each has a row [codes]
    """
    alive = assignment.mass > 0
    means = assignment.sums / assignment.mass.clamp_min(torch.finfo(torch.float64).tiny)[:, None]
    moved = torch.where(alive[:, None], means.to(centroids.dtype), centroids)
    empty = torch.nonzero(~alive).squeeze(1)
    if len(empty):
        farthest = rows.find_farthest(len(empty), centroids)
        moved[empty[: len(farthest)]] = farthest
        alive[empty[: len(farthest)]] = True
    return moved, alive


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


def _sum_over_workers(part: Tensor) -> None:
    if _is_distributed():
        dist.all_reduce(part)


def _gather_from_workers(part: Tensor) -> Tensor:
    if not _is_distributed():
        return part
    parts = [torch.empty_like(part) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, part)
    return torch.cat(parts)


def _broadcast_from_first(part: Tensor) -> Tensor:
    if _is_distributed():
        dist.broadcast(part, 0)
    return part
