"""QARM V1's VQ code: an item is told by the items that are nearest to it in a pool."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor
from torch.nn.functional import normalize

from models.quantizers.codebook import (
    Progress,
    Row,
    check_codes,
    check_sizes,
    check_vectors,
    distinct,
    headed,
    in_chunks,
    part_of,
    read_heading,
    read_parts,
    weight_rows,
)

_CHUNK_ELEMENTS = 1 << 22  # similarities held at once, so that [items, pool] never is


@dataclass(frozen=True)
class NearestItems:
    """Codes are the indices of the nearest items of a pool by cosine, nearest first.

    The paper takes 25 of them, so `sizes` is 25 times the size of the pool. Decoding gives the mean of those items.
    Source: QARM V1 (arXiv 2411.11739), section 3.3.
    """

    kind: ClassVar[str] = "nearest_items"

    pool: Tensor  # [used, dim]
    sizes: tuple[int, ...]

    @classmethod
    def fit(cls, x: Tensor, *, sizes: Sequence[int], seed: int, progress: Progress | None = None) -> Self:
        """The pool: items of different vectors, drawn by the seed; all of them where there are not more than its size.

        raises  ValueError also if the sizes differ, or there are fewer items of different vectors than levels
        """
        sizes = check_sizes(sizes)
        if len(set(sizes)) > 1:
            raise ValueError(f"every level of nearest items points into the one pool: sizes must be equal, not {sizes}")
        check_vectors(x, dim=None)
        points, _, _ = distinct(x)
        if min(len(points), sizes[0]) < len(sizes):
            fewest = min(len(points), sizes[0])
            raise ValueError(f"{len(sizes)} nearest items need a pool of at least as many, not {fewest}")
        drawn = torch.randperm(len(points), generator=torch.Generator().manual_seed(seed))[: sizes[0]]
        if progress is not None:
            progress(1, 1)
        return cls(points[drawn.sort().values].double(), sizes)

    def encode(self, x: Tensor) -> Tensor:
        check_vectors(x, dim=self.pool.shape[1])
        return in_chunks(self._encode, x, len(self.sizes))

    def _encode(self, x: Tensor) -> Tensor:
        pool = normalize(self.pool, dim=1).T  # an item's length does not change which of the pool is nearest
        rows = max(1, _CHUNK_ELEMENTS // len(self.pool))
        return torch.cat([(part @ pool).topk(len(self.sizes), dim=1).indices for part in torch.split(x, rows)])

    def decode(self, codes: Tensor) -> Tensor:
        codes = check_codes(codes, [len(self.pool)] * len(self.sizes))
        total = torch.zeros(len(codes), self.pool.shape[1], dtype=torch.float64)
        for level in codes.T:  # one by one: [items, levels, dim] would not fit
            total += self.pool[level]
        return (total / len(self.sizes)).float()

    def to_rows(self) -> list[Row]:
        return headed(self.kind, self.sizes, weight_rows(0, "item", self.pool))

    @classmethod
    def from_rows(cls, rows: Sequence[Row]) -> Self:
        _, sizes = read_heading(rows)
        return cls(part_of(read_parts(rows), 0, "item"), sizes)
