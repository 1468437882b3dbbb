"""Res-KmeansFSQ: item vectors to semantic IDs and back.

Two levels of residual k-means, then finite scalar quantisation of what is left.
Source: QARM V2 (arXiv 2602.08559), section 3.2; how the last level is trained: `models.quantizers.fsq_training`; how
vectors are rebuilt: `models.quantizers.decoding`.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.quantizers.codebook import (
    Progress,
    Row,
    centroid_rows,
    centroids_of,
    check_codes,
    check_vectors,
    headed,
    in_chunks,
    part_of,
    read_heading,
    read_parts,
    ticker,
    weight_rows,
)
from models.quantizers.decoding import decode_tables, rebuild
from models.quantizers.fsq import FSQ
from models.quantizers.fsq_training import fit_fsq
from models.quantizers.kmeans import assign, kmeans
from models.quantizers.points import distinct

_LEVELS = 3
_ROWS = 1 << 16  # read at once


@dataclass(frozen=True)
class ResKmeansFSQ:
    """A fitted codebook. float32 weights held as float64, so that an ID does not depend on its batch."""

    kind: ClassVar[str] = "res_kmeans_fsq"

    centroids: tuple[Tensor, Tensor]  # per level [used, dim]; a code without centroid is given to no item
    fsq: FSQ
    tables: tuple[Tensor, Tensor, Tensor]  # per level [used, dim], whose sum rebuilds a vector
    sizes: tuple[int, int, int]

    @classmethod
    def fit(
        cls,
        x: Tensor,
        *,
        sizes: Sequence[int] = (256, 256, 256),
        seed: int,
        kmeans_iterations: int = 20,
        fsq_steps: int = 600,
        fsq_values: Sequence[int] = (),
        start: "ResKmeansFSQ | None" = None,
        progress: Progress | None = None,
    ) -> "ResKmeansFSQ":
        """Fit all levels; the order of the items does not matter.

        x         [items, dim] float32, finite, at least one item. With fewer distinct items than
                  codes, only as many codes as there are distinct items (level 2: residuals) get a centroid
        sizes     codes per level
        fsq_values  how many values each digit of the last level takes, whose product is its size; none: two each,
                  and the size a power of two
        start     a codebook of the same sizes and values to go on from
        progress  called with (steps done, steps in all)
        raises    ValueError if x is empty or holds NaN or infinity, or sizes, values or start are wrong
        source    QARM V2 (arXiv 2602.08559), section 3.2
        """
        values = _values(sizes, fsq_values)
        if start and (start.sizes != tuple(sizes) or start.fsq.values.tolist() != values):
            raise ValueError(f"a codebook to start from must have the same sizes and values: {list(sizes)}, {values}")
        check_vectors(x, dim=None)
        tick = ticker(2 * kmeans_iterations + fsq_steps, progress)
        with TemporaryDirectory() as scratch:
            residual, weights = distinct(_batches(x), Path(scratch))
            kept = start.encode(residual) if start else None
            codes: list[Tensor] = []
            centroids = []
            for level in (0, 1):
                fitted = kmeans(
                    residual,
                    weights,
                    codes=sizes[level],
                    iterations=kmeans_iterations,
                    seed=seed + level,
                    tick=tick,
                    start=start.centroids[level] if start else None,
                    residual=level > 0,
                ).double()
                codes.append(_take_off(residual, partial(assign, centroids=fitted), fitted))
                centroids.append(fitted)
            fsq = fit_fsq(
                residual,
                codes[0] * sizes[1] + codes[1],
                values=values,
                steps=fsq_steps,
                seed=seed + 2,
                tick=tick,
                start=start.fsq if start else None,
                kept=None if kept is None else _still(kept, codes),
            )
            fsq = _frozen(fsq)
            last = fsq.decode(torch.arange(sizes[2]))
            codes.append(_take_off(residual, fsq.encode, last))
            one, two, three = decode_tables(residual, weights, torch.stack(codes, dim=1), (*centroids, last))
        return cls((centroids[0], centroids[1]), fsq, (one, two, three), (sizes[0], sizes[1], sizes[2]))

    def encode(self, x: Tensor) -> Tensor:
        """Give every item its semantic ID.

        x        [items, dim] float32, finite
        returns  [items, 3] int64, level l in [0, sizes[l])
        raises   ValueError if x holds NaN or infinity, or dim is not the codebook's
        source   QARM V2 (arXiv 2602.08559), section 3.2
        """
        check_vectors(x, dim=self.fsq.dim)
        return in_chunks(self._encode, x, _LEVELS)

    def decode(self, codes: Tensor) -> Tensor:
        """Rebuild vectors from semantic IDs.

        codes    [items, 3] integers
        returns  [items, dim] float32
        raises   ValueError if a code is out of range or has no centroid
        """
        return rebuild(self.tables, check_codes(codes, [len(table) for table in self.tables])).float()

    def to_rows(self) -> list[Row]:
        """All of it as rows (level, part, code, vector) of gold.codebooks."""
        rows = centroid_rows(self.centroids)
        for level, table in enumerate(self.tables, start=1):
            rows += weight_rows(level, "rebuilt", table)
        for part, weight in self.fsq.state_dict().items():
            rows += weight_rows(_LEVELS, part, weight)
        return headed(self.kind, self.sizes, rows)

    @classmethod
    def from_rows(cls, rows: Sequence[Row]) -> "ResKmeansFSQ":
        """Read what `to_rows` wrote, rows in any order.

        raises  ValueError if a part or a row of it is missing
        """
        _, sizes = read_heading(rows)
        parts = read_parts(rows)
        first, second = centroids_of(parts, _LEVELS - 1)
        values = _values(sizes, [int(size) for size in part_of(parts, _LEVELS, "values")[0]])
        fsq = FSQ(first.shape[1], values, hidden=len(part_of(parts, _LEVELS, "encoder.0.weight"))).double()
        shapes = fsq.state_dict()
        fsq.load_state_dict({part: part_of(parts, _LEVELS, part).reshape(old.shape) for part, old in shapes.items()})
        one, two, three = (part_of(parts, level, "rebuilt") for level in range(1, _LEVELS + 1))
        return cls((first, second), _frozen(fsq), (one, two, three), (sizes[0], sizes[1], sizes[2]))

    def renamed(self, names: Sequence[Tensor], order: list[int], turned: list[bool]) -> "ResKmeansFSQ":
        """The same codebook with other numbers: items keep to their codes, whose numbers change.

        names          per k-means level [codes] the number that each code gets, a permutation
        order, turned  of the digits of the last level, see `FSQ.with_digits`
        """
        first, second = (names[level].argsort() for level in (0, 1))
        fsq = self.fsq.with_digits(order, turned)
        digits = fsq.parted(torch.arange(len(self.tables[2])))
        was = torch.empty_like(digits)
        was[:, order] = torch.where(torch.tensor(turned), fsq.values - 1 - digits, digits)
        last = self.fsq.joined(was)
        one, two, three = self.tables
        return ResKmeansFSQ(
            (self.centroids[0][first], self.centroids[1][second]),
            fsq,
            (one[first], two[second], three[last]),
            self.sizes,
        )

    def _encode(self, residual: Tensor) -> Tensor:
        codes = []
        for centroids in self.centroids:
            labels = assign(residual, centroids)
            residual = residual - centroids[labels]
            codes.append(labels)
        return torch.stack([*codes, self.fsq.encode(residual)], dim=1)


def sid_text(codes: Tensor) -> list[str]:
    """Write semantic IDs [items, 3] as text: `<a_12><b_7><c_3012>`."""
    return [f"<a_{c1}><b_{c2}><c_{c3}>" for c1, c2, c3 in codes.tolist()]


def _values(sizes: Sequence[int], values: Sequence[int]) -> list[int]:
    """How many values each digit of the last level takes."""
    if len(sizes) != _LEVELS or min(sizes) < 1:
        raise ValueError(f"sizes must be {_LEVELS} positive numbers, not {list(sizes)}")
    last = sizes[-1]
    if values and (min(values) < 2 or math.prod(values) != last):
        raise ValueError(f"fsq_values must be at least 2 each, and their product the last size, {last}: {list(values)}")
    if not values and (last < 2 or last & (last - 1)):
        raise ValueError(f"without fsq_values the last size must be a power of two, at least 2, not {last}")
    return list(values) or [2] * (last.bit_length() - 1)


def _batches(x: Tensor) -> Iterator[NDArray[np.float32]]:
    return (part.detach().cpu().float().numpy() for part in torch.split(x, _ROWS))


def _take_off(residual: Tensor, encode: Callable[[Tensor], Tensor], table: Tensor) -> Tensor:
    """Subtract from every row [items, dim], in place, what its code stands for. returns the codes [items]

    table  [codes, dim] float64
    """
    codes = []
    for part in torch.split(residual, _ROWS):
        rows = part.double()
        codes.append(encode(rows))
        part.copy_(rows - table[codes[-1]])
    return torch.cat(codes)


def _still(before: Tensor, codes: Sequence[Tensor]) -> Tensor:
    """The last code [items] that rows had before where the first two are the same, -1 elsewhere."""
    same = (before[:, 0] == codes[0]) & (before[:, 1] == codes[1])
    return torch.where(same, before[:, 2], -1)


def _frozen(fsq: FSQ) -> FSQ:
    return fsq.double().requires_grad_(False).eval()
