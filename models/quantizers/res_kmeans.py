"""Residual k-means with any number of levels, and the same with a last level whose codes are used equally often."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor
from torch.nn.functional import pad

from models.quantizers.balance import balanced_kmeans
from models.quantizers.codebook import Progress, check_codes, check_vectors, encode_in_chunks, make_tick
from models.quantizers.distinct import find_distinct_rows
from models.quantizers.kmeans import kmeans
from models.quantizers.nearest import assign
from models.quantizers.rows import (
    Row,
    add_header,
    centroids_to_rows,
    check_sizes,
    get_centroids,
    read_header,
    read_parts,
)  # fmt: skip


@dataclass(frozen=True)
class ResKmeans:
    """Each level is k-means of the residual: what the levels before do not rebuild.

    Source: OneRec (arXiv 2502.18965), section 3.1; QARM V1's RQ code (arXiv 2411.11739), which has six levels.
    """

    kind: ClassVar[str] = "res_kmeans"
    min_levels: ClassVar[int] = 1
    _fit_last_level: ClassVar[Callable[..., Tensor]] = staticmethod(kmeans)

    centroids: tuple[Tensor, ...]  # per level [used, dim], or [used, dim + 1] as `balanced_kmeans` returns it
    sizes: tuple[int, ...]

    @classmethod
    def fit(
        cls,
        x: Tensor,
        *,
        sizes: Sequence[int],
        seed: int,
        kmeans_iterations: int = 20,
        start: Self | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Fit all levels, see `Codebook.fit`.

        kmeans_iterations  at most, for each level
        start              a codebook of the same sizes to start from
        raises             ValueError as `Codebook.fit`, and if `start` has other sizes
        """
        sizes = check_sizes(sizes, cls.min_levels)
        if start and start.sizes != sizes:
            raise ValueError(f"a codebook to start from must have the same sizes: {list(sizes)}")
        check_vectors(x, dim=None)
        points, weights, _ = find_distinct_rows(x)
        tick = make_tick(len(sizes) * kmeans_iterations, progress)
        residual, centroids = points.double(), []
        for level, size in enumerate(sizes):
            fit_level = cls._fit_last_level if level == len(sizes) - 1 else kmeans
            fitted = fit_level(
                residual.float(),
                weights,
                codes=size,
                iterations=kmeans_iterations,
                seed=seed + level,
                tick=tick,
                start=start.centroids[level][:, : x.shape[1]] if start else None,
                residual=level > 0,
            )
            centroids.append(fitted.double())
            residual = _take_nearest(residual, centroids[-1])[1]
        return cls(tuple(centroids), sizes)

    def encode(self, x: Tensor) -> Tensor:
        check_vectors(x, dim=self.centroids[0].shape[1])
        return encode_in_chunks(self._encode, x, len(self.sizes))

    def _encode(self, residual: Tensor) -> Tensor:
        codes = []
        for centroids in self.centroids:
            labels, residual = _take_nearest(residual, centroids)
            codes.append(labels)
        return torch.stack(codes, dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        codes = check_codes(codes, list(map(len, self.centroids)))
        dim = self.centroids[0].shape[1]
        levels = zip(self.centroids, codes.T, strict=True)
        return torch.stack([level[labels, :dim] for level, labels in levels]).sum(0).float()

    def to_rows(self) -> list[Row]:
        return add_header(self.kind, self.sizes, centroids_to_rows(self.centroids))

    @classmethod
    def from_rows(cls, rows: Sequence[Row]) -> Self:
        _, sizes = read_header(rows)
        return cls(get_centroids(read_parts(rows), len(sizes)), sizes)

    def renumber(self, numbers: Sequence[Tensor]) -> Self:
        """The same codebook with its codes in another order.

        numbers  per level [codes] the new number of each code, a permutation
        """
        levels = zip(self.centroids, numbers, strict=True)
        return type(self)(tuple(level[new.argsort()] for level, new in levels), self.sizes)


class BalancedResKmeans(ResKmeans):
    """Residual k-means whose last level gives every code to about as many of the items that it was fitted on.

    LC-Rec (arXiv 2311.09049), section 3.2, maps the last level uniformly by Sinkhorn's algorithm, so that fewer items
    share all codes. In the paper an item's code depends on the batch that it is mapped with; ours depends on the item
    alone (see `models.quantizers.balance`).
    """

    kind: ClassVar[str] = "res_kmeans_balanced"
    min_levels: ClassVar[int] = 2
    _fit_last_level = staticmethod(balanced_kmeans)


def _take_nearest(residual: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest centroid of each row, and the residual that it leaves. A centroid's number beyond dim is its lift."""
    dim = residual.shape[1]
    labels = assign(pad(residual, (0, centroids.shape[1] - dim)), centroids)
    return labels, residual - centroids[labels, :dim]
