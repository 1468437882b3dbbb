"""Parallel codebooks: every code is found from the item's vector, and none depends on another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from models.quantizers.codebook import (
    WHOLE,
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
    part_of,
    read_heading,
    read_parts,
    ticker,
    weight_rows,
)
from models.quantizers.kmeans import assign, kmeans


@dataclass(frozen=True)
class ParallelKmeans:
    """Each level is k-means of its own slice of the randomly rotated vector.

    Source: Mixture-of-Codes (arXiv 2410.09560), section 4.1: independent codebooks on one vector tell more to a
    ranker than residual ones. There an encoder is learned for each; here a random rotation gives each a view of its
    own, and as the views share nothing, the rotation undone rebuilds the vector (product quantisation, Jegou et al.
    2011).
    """

    kind: ClassVar[str] = "parallel_kmeans"

    rotation: Tensor  # [dim, dim]; level l sees the l-th slice of x @ rotation
    centroids: tuple[Tensor, ...]  # per level [used, width of its slice]
    sizes: tuple[int, ...]

    @classmethod
    def fit(
        cls,
        x: Tensor,
        *,
        sizes: Sequence[int],
        seed: int,
        kmeans_iterations: int = 20,
        progress: Progress | None = None,
    ) -> Self:
        """raises ValueError also if the vectors have fewer dimensions than there are levels"""
        sizes = check_sizes(sizes)
        check_vectors(x, dim=None)
        if x.shape[1] < len(sizes):
            raise ValueError(f"{len(sizes)} parallel levels need vectors of as many dimensions, not {x.shape[1]}")
        points, weights, _ = distinct(x)
        rotation = _rotation(x.shape[1], seed)
        tick = ticker(len(sizes) * kmeans_iterations, progress)
        centroids = []
        for level, (size, view) in enumerate(zip(sizes, _views(points.double(), rotation, len(sizes)), strict=True)):
            fitted = kmeans(
                view.float(), weights, codes=size, iterations=kmeans_iterations, seed=seed + level, tick=tick
            )
            centroids.append(fitted.double())
        return cls(rotation, tuple(centroids), sizes)

    def encode(self, x: Tensor) -> Tensor:
        check_vectors(x, dim=len(self.rotation))
        return in_chunks(self._encode, x, len(self.sizes))

    def _encode(self, x: Tensor) -> Tensor:
        views = _views(x, self.rotation, len(self.sizes))
        return torch.stack([assign(*level) for level in zip(views, self.centroids, strict=True)], dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        codes = check_codes(codes, list(map(len, self.centroids)))
        levels = zip(self.centroids, codes.T, strict=True)
        rotated = torch.cat([centroids[labels] for centroids, labels in levels], dim=1)
        return (rotated @ self.rotation.T).float()

    def to_rows(self) -> list[Row]:
        rotation = weight_rows(WHOLE, "rotation", self.rotation)
        return headed(self.kind, self.sizes, rotation + centroid_rows(self.centroids))

    @classmethod
    def from_rows(cls, rows: Sequence[Row]) -> Self:
        _, sizes = read_heading(rows)
        parts = read_parts(rows)
        return cls(part_of(parts, WHOLE, "rotation"), centroids_of(parts, len(sizes)), sizes)


def _rotation(dim: int, seed: int) -> Tensor:
    drawn = torch.randn(dim, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    rotation: Tensor = torch.linalg.qr(drawn)[0]
    return rotation.float().double()  # float32 numbers, as the table holds them


def _views(x: Tensor, rotation: Tensor, levels: int) -> tuple[Tensor, ...]:
    views: tuple[Tensor, ...] = torch.tensor_split(x @ rotation, levels, dim=1)
    return views
