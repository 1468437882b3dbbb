"""QARM V1's VQ code: an item is described by the items of a pool that are nearest to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor
from torch.nn.functional import normalize

from models.quantizers.codebook import Progress, check_codes, check_vectors, encode_in_chunks
from models.quantizers.distinct import find_distinct_rows
from models.quantizers.rows import (
    NO_LEVEL,
    Row,
    add_header,
    check_sizes,
    get_part,
    read_header,
    read_parts,
    weight_to_rows,
)  # fmt: skip

_CHUNK_ELEMENTS = 1 << 22  # similarities in memory at once, as [items, pool] would not fit


@dataclass(frozen=True)
class NearestItems:
    """Codes are the indices of the nearest items of a pool by cosine, nearest first.

    Every entry of `sizes` is the size of the pool; the paper has 25 levels. Decoding gives the mean of the items.
    Source: QARM V1 (arXiv 2411.11739), section 3.3.
    """

    kind: ClassVar[str] = "nearest_items"

    pool: Tensor  # [used, dim]
    sizes: tuple[int, ...]

    @classmethod
    def fit(cls, x: Tensor, *, sizes: Sequence[int], seed: int, progress: Progress | None = None) -> Self:
        """Draw the pool: items with different vectors; all of them if there are not more than its size.

        sizes   per level the size of the pool
        raises  ValueError as `Codebook.fit`, and if the sizes differ or the pool would be smaller than the levels
        """
        sizes = check_sizes(sizes)
        if len(set(sizes)) > 1:
            raise ValueError(f"all levels of nearest_items share one pool, so their sizes must be equal, not {sizes}")
        check_vectors(x, dim=None)
        points = find_distinct_rows(x).rows
        if min(len(points), sizes[0]) < len(sizes):
            size = min(len(points), sizes[0])
            raise ValueError(f"{len(sizes)} nearest items need a pool of at least as many, not {size}")
        drawn = torch.randperm(len(points), generator=torch.Generator().manual_seed(seed))[: sizes[0]]
        if progress is not None:
            progress(1, 1)
        return cls(points[drawn.sort().values].double(), sizes)

    def encode(self, x: Tensor) -> Tensor:
        check_vectors(x, dim=self.pool.shape[1])
        return encode_in_chunks(self._encode, x, len(self.sizes))

    def _encode(self, x: Tensor) -> Tensor:
        pool = normalize(self.pool, dim=1).T  # the length of x does not change which pool items are nearest
        rows = max(1, _CHUNK_ELEMENTS // len(self.pool))
        return torch.cat([(part @ pool).topk(len(self.sizes), dim=1).indices for part in torch.split(x, rows)])

    def decode(self, codes: Tensor) -> Tensor:
        codes = check_codes(codes, [len(self.pool)] * len(self.sizes))
        total = torch.zeros(len(codes), self.pool.shape[1], dtype=torch.float64)
        for level in codes.T:  # level by level, as [items, levels, dim] would not fit in memory
            total += self.pool[level]
        return (total / len(self.sizes)).float()

    def to_rows(self) -> list[Row]:
        return add_header(self.kind, self.sizes, weight_to_rows(NO_LEVEL, "item", self.pool))

    @classmethod
    def from_rows(cls, rows: Sequence[Row]) -> Self:
        _, sizes = read_header(rows)
        return cls(get_part(read_parts(rows), NO_LEVEL, "item"), sizes)
