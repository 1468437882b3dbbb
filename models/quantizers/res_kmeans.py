"""Residual k-means with any number of levels, and the same with a last level whose codes are used equally often."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor
from torch.nn.functional import pad

from models.quantizers.balance import balanced_kmeans
from models.quantizers.codebook import (
    Progress,
    Row,
    centroid_rows,
    centroids_of,
    check_codes,
    check_sizes,
    check_vectors,
    distinct,
    headed,
    in_chunks,
    read_heading,
    read_parts,
    ticker,
)
from models.quantizers.kmeans import assign, kmeans


@dataclass(frozen=True)
class ResKmeans:
    """Each level is k-means of what the levels before left.

    Source: OneRec (arXiv 2502.18965), section 3.1; QARM V1's RQ code (arXiv 2411.11739), with six levels there.
    """

    kind: ClassVar[str] = "res_kmeans"
    at_least: ClassVar[int] = 1  # levels
    _fit_last: ClassVar[Callable[..., Tensor]] = staticmethod(kmeans)

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
        """See `Codebook.fit`; `start` is a codebook of the same sizes to go on from."""
        sizes = check_sizes(sizes, cls.at_least)
        if start and start.sizes != sizes:
            raise ValueError(f"a codebook to start from must have the same sizes: {list(sizes)}")
        check_vectors(x, dim=None)
        points, weights, _ = distinct(x)
        tick = ticker(len(sizes) * kmeans_iterations, progress)
        residual, centroids = points.double(), []
        for level, size in enumerate(sizes):
            fit_level = cls._fit_last if level == len(sizes) - 1 else kmeans
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
            residual = _step(residual, centroids[-1])[1]
        return cls(tuple(centroids), sizes)

    def encode(self, x: Tensor) -> Tensor:
        check_vectors(x, dim=self.centroids[0].shape[1])
        return in_chunks(self._encode, x, len(self.sizes))

    def _encode(self, residual: Tensor) -> Tensor:
        codes = []
        for centroids in self.centroids:
            labels, residual = _step(residual, centroids)
            codes.append(labels)
        return torch.stack(codes, dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        codes = check_codes(codes, list(map(len, self.centroids)))
        dim = self.centroids[0].shape[1]
        levels = zip(self.centroids, codes.T, strict=True)
        return torch.stack([level[labels, :dim] for level, labels in levels]).sum(0).float()

    def to_rows(self) -> list[Row]:
        return headed(self.kind, self.sizes, centroid_rows(self.centroids))

    @classmethod
    def from_rows(cls, rows: Sequence[Row]) -> Self:
        _, sizes = read_heading(rows)
        return cls(centroids_of(read_parts(rows), len(sizes)), sizes)

    def renamed(self, names: Sequence[Tensor]) -> Self:
        """The same codebook with other numbers; names: per level [codes] the number that each code gets."""
        levels = zip(self.centroids, names, strict=True)
        return type(self)(tuple(level[name.argsort()] for level, name in levels), self.sizes)


class BalancedResKmeans(ResKmeans):
    """Residual k-means whose last level gives every code to about equally many of the items that it was fitted on.

    LC-Rec (arXiv 2311.09049), section 3.2, maps the last level uniformly by Sinkhorn's algorithm, so that fewer items
    share all codes. There an item's code depends on the batch it is mapped with; here on the item alone: see
    `models.quantizers.balance`.
    """

    kind: ClassVar[str] = "res_kmeans_balanced"
    at_least: ClassVar[int] = 2
    _fit_last = staticmethod(balanced_kmeans)


def _step(residual: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest centroid of each row, and what it leaves of the row; what centroids have beyond dim is lift."""
    dim = residual.shape[1]
    labels = assign(pad(residual, (0, centroids.shape[1] - dim)), centroids)
    return labels, residual - centroids[labels, :dim]
