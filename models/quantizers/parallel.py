"""Parallel codebooks: every code is computed from the item's vector and depends on no other code."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from models.quantizers.codebook import Progress, check_codes, check_vectors, encode_in_chunks, make_tick
from models.quantizers.distinct import find_distinct_rows
from models.quantizers.kmeans import kmeans
from models.quantizers.nearest import assign
from models.quantizers.rows import (
    NO_LEVEL,
    Row,
    add_header,
    centroids_to_rows,
    check_sizes,
    get_centroids,
    get_part,
    read_header,
    read_parts,
    weight_to_rows,
)


@dataclass(frozen=True)
class ParallelKmeans:
    """Each level is k-means of another slice of the randomly rotated vector.

    Source: Mixture-of-Codes (arXiv 2410.09560), section 4.1: independent codebooks on one vector tell a ranker more
    than residual ones. The paper learns an encoder for each codebook. We give each one a slice of a random rotation
    instead; the slices share nothing, so undoing the rotation rebuilds the vector (product quantisation, Jegou et al.
    2011).
    """

    kind: ClassVar[str] = "parallel_kmeans"

    rotation: Tensor  # [dim, dim]; level l encodes slice l of x @ rotation
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
        """Fit all levels, see `Codebook.fit`.

        kmeans_iterations  at most, for each level
        raises             ValueError as `Codebook.fit`, and if the vectors have fewer dimensions than there are levels
        """
        sizes = check_sizes(sizes)
        check_vectors(x, dim=None)
        if x.shape[1] < len(sizes):
            raise ValueError(f"{len(sizes)} parallel levels need vectors of as many dimensions, not {x.shape[1]}")
        points, weights, _ = find_distinct_rows(x)
        rotation = _draw_rotation(x.shape[1], seed)
        tick = make_tick(len(sizes) * kmeans_iterations, progress)
        centroids = []
        slices = _rotate_and_slice(points.double(), rotation, len(sizes))
        for level, (size, slice_) in enumerate(zip(sizes, slices, strict=True)):
            fitted = kmeans(
                slice_.float(), weights, codes=size, iterations=kmeans_iterations, seed=seed + level, tick=tick
            )
            centroids.append(fitted.double())
        return cls(rotation, tuple(centroids), sizes)

    def encode(self, x: Tensor) -> Tensor:
        check_vectors(x, dim=len(self.rotation))
        return encode_in_chunks(self._encode, x, len(self.sizes))

    def _encode(self, x: Tensor) -> Tensor:
        slices = _rotate_and_slice(x, self.rotation, len(self.sizes))
        return torch.stack([assign(*level) for level in zip(slices, self.centroids, strict=True)], dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        codes = check_codes(codes, list(map(len, self.centroids)))
        levels = zip(self.centroids, codes.T, strict=True)
        rotated = torch.cat([centroids[labels] for centroids, labels in levels], dim=1)
        return (rotated @ self.rotation.T).float()

    def to_rows(self) -> list[Row]:
        rotation = weight_to_rows(NO_LEVEL, "rotation", self.rotation)
        return add_header(self.kind, self.sizes, rotation + centroids_to_rows(self.centroids))

    @classmethod
    def from_rows(cls, rows: Sequence[Row]) -> Self:
        _, sizes = read_header(rows)
        parts = read_parts(rows)
        return cls(get_part(parts, NO_LEVEL, "rotation"), get_centroids(parts, len(sizes)), sizes)


def _draw_rotation(dim: int, seed: int) -> Tensor:
    drawn = torch.randn(dim, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    rotation: Tensor = torch.linalg.qr(drawn)[0]
    return rotation.float().double()  # float32 numbers, as the table holds them


def _rotate_and_slice(x: Tensor, rotation: Tensor, levels: int) -> tuple[Tensor, ...]:
    slices: tuple[Tensor, ...] = torch.tensor_split(x @ rotation, levels, dim=1)
    return slices
