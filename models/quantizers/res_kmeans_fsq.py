"""Res-KmeansFSQ: item vectors to semantic IDs and back.

Two levels of residual k-means, then finite scalar quantisation of the residual. Source: QARM V2 (arXiv 2602.08559),
section 3.2. The last level is trained by `models.quantizers.fsq_training`; vectors are rebuilt by
`models.quantizers.decoding`.
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

from models.quantizers.codebook import Progress, check_codes, check_vectors, encode_in_chunks, make_tick
from models.quantizers.decoding import fit_decode_tables, rebuild
from models.quantizers.distinct import write_distinct_rows
from models.quantizers.fsq import FSQ
from models.quantizers.fsq_training import fit_fsq
from models.quantizers.kmeans import kmeans
from models.quantizers.nearest import assign
from models.quantizers.rows import (
    Row,
    add_header,
    centroids_to_rows,
    get_centroids,
    get_part,
    read_header,
    read_parts,
    weight_to_rows,
)  # fmt: skip

_LEVELS = 3
_ROWS = 1 << 16  # read at once


@dataclass(frozen=True)
class ResKmeansFSQ:
    """A fitted codebook. Weights are float32 numbers held as float64, so that an ID does not depend on its batch."""

    kind: ClassVar[str] = "res_kmeans_fsq"

    centroids: tuple[Tensor, Tensor]  # per k-means level [used, dim]; no item has a code without a centroid
    fsq: FSQ
    tables: tuple[Tensor, Tensor, Tensor]  # per level [used, dim]; the sum of an item's rows rebuilds its vector
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

        x           [items, dim] float32, finite, at least one item. If there are fewer distinct items than codes, only
                    as many codes as there are distinct items (on level 2: distinct residuals) get a centroid
        sizes       codes per level
        kmeans_iterations  at most, for each of the first two levels
        fsq_steps   training steps of the last level
        fsq_values  how many values each digit of the last level takes; their product must be the size of the level.
                    Empty: two values each, and the size must be a power of two
        start       a refit: a codebook of the same sizes and values to start from
        progress    called with (steps done, steps in all)
        raises      ValueError if x is empty or holds NaN or infinity, or sizes, values or start are wrong
        source      QARM V2 (arXiv 2602.08559), section 3.2
        """
        values = _choose_values(sizes, fsq_values)
        if start and (start.sizes != tuple(sizes) or start.fsq.values.tolist() != values):
            raise ValueError(f"a codebook to start from must have the same sizes and values: {list(sizes)}, {values}")
        check_vectors(x, dim=None)
        tick = make_tick(2 * kmeans_iterations + fsq_steps, progress)
        with TemporaryDirectory() as scratch:
            residual, weights = write_distinct_rows(_read_batches(x), Path(scratch))
            old_codes = start.encode(residual) if start else None
            old_centroids = start.centroids if start else (None, None)
            codes, centroids = _fit_kmeans_levels(
                residual, weights, sizes, old_centroids, iterations=kmeans_iterations, seed=seed, tick=tick
            )
            fsq = fit_fsq(
                residual,
                codes[0] * sizes[1] + codes[1],
                values=values,
                steps=fsq_steps,
                seed=seed + 2,
                tick=tick,
                start=start.fsq if start else None,
                old_codes=None if old_codes is None else _keep_last_codes(old_codes, codes),
            )
            fsq = _freeze(fsq)
            decoded = fsq.decode(torch.arange(sizes[2]))  # what each code of the last level stands for
            codes.append(_subtract(residual, fsq.encode, decoded))
            tables = fit_decode_tables(residual, weights, torch.stack(codes, dim=1), (*centroids, decoded))
        return cls((centroids[0], centroids[1]), fsq, (tables[0], tables[1], tables[2]), (sizes[0], sizes[1], sizes[2]))

    def encode(self, x: Tensor) -> Tensor:
        """Give every item its semantic ID.

        x        [items, dim] float32, finite
        returns  [items, 3] int64, level l in [0, sizes[l])
        raises   ValueError if x holds NaN or infinity, or dim is not the codebook's
        source   QARM V2 (arXiv 2602.08559), section 3.2
        """
        check_vectors(x, dim=self.fsq.dim)
        return encode_in_chunks(self._encode, x, _LEVELS)

    def decode(self, codes: Tensor) -> Tensor:
        """Rebuild vectors from semantic IDs.

        codes    [items, 3] integers
        returns  [items, dim] float32
        raises   ValueError if a code is out of range or has no centroid
        """
        return rebuild(self.tables, check_codes(codes, [len(table) for table in self.tables])).float()

    def to_rows(self) -> list[Row]:
        """The whole codebook as rows of gold.codebooks, header first (see `models.quantizers.rows`)."""
        rows = centroids_to_rows(self.centroids)
        for level, table in enumerate(self.tables, start=1):
            rows += weight_to_rows(level, "rebuilt", table)
        for part, weight in self.fsq.state_dict().items():
            rows += weight_to_rows(_LEVELS, part, weight)
        return add_header(self.kind, self.sizes, rows)

    @classmethod
    def from_rows(cls, rows: Sequence[Row]) -> "ResKmeansFSQ":
        """Read what `to_rows` wrote, rows in any order.

        raises  ValueError if a part or a row of it is missing
        """
        _, sizes = read_header(rows)
        parts = read_parts(rows)
        first, second = get_centroids(parts, _LEVELS - 1)
        values = _choose_values(sizes, [int(size) for size in get_part(parts, _LEVELS, "values")[0]])
        fsq = FSQ(first.shape[1], values, hidden=len(get_part(parts, _LEVELS, "encoder.0.weight"))).double()
        weights = fsq.state_dict()
        fsq.load_state_dict({part: get_part(parts, _LEVELS, part).reshape(w.shape) for part, w in weights.items()})
        tables = [get_part(parts, level, "rebuilt") for level in range(1, _LEVELS + 1)]
        return cls((first, second), _freeze(fsq), (tables[0], tables[1], tables[2]), (sizes[0], sizes[1], sizes[2]))

    def renumber(self, numbers: Sequence[Tensor], order: list[int], reverse: list[bool]) -> "ResKmeansFSQ":
        """The same codebook with its codes in another order.

        numbers         per k-means level [codes] the new number of each code, a permutation
        order, reverse  [digits] of the last level, see `FSQ.rearrange_digits`
        """
        # The old code of each new code, per level.
        first, second = (numbers[level].argsort() for level in (0, 1))
        fsq = self.fsq.rearrange_digits(order, reverse)
        digits = fsq.split_digits(torch.arange(len(self.tables[2])))
        old_digits = torch.empty_like(digits)
        old_digits[:, order] = torch.where(torch.tensor(reverse), fsq.values - 1 - digits, digits)
        third = self.fsq.join_digits(old_digits)
        return ResKmeansFSQ(
            (self.centroids[0][first], self.centroids[1][second]),
            fsq,
            (self.tables[0][first], self.tables[1][second], self.tables[2][third]),
            self.sizes,
        )

    def _encode(self, residual: Tensor) -> Tensor:
        codes = []
        for centroids in self.centroids:
            labels = assign(residual, centroids)
            residual = residual - centroids[labels]
            codes.append(labels)
        return torch.stack([*codes, self.fsq.encode(residual)], dim=1)


def format_sids(codes: Tensor) -> list[str]:
    """Write semantic IDs [items, 3] as text, such as `<a_12><b_7><c_3012>`."""
    return [f"<a_{c1}><b_{c2}><c_{c3}>" for c1, c2, c3 in codes.tolist()]


def _choose_values(sizes: Sequence[int], values: Sequence[int]) -> list[int]:
    """How many values each digit of the last level takes. raises ValueError if sizes or values are wrong"""
    if len(sizes) != _LEVELS or min(sizes) < 1:
        raise ValueError(f"sizes must be {_LEVELS} positive numbers, not {list(sizes)}")
    last = sizes[-1]
    if values and (min(values) < 2 or math.prod(values) != last):
        raise ValueError(
            f"fsq_values must be at least 2 each, and their product must be the last size, {last}; not {list(values)}"
        )
    if not values and (last < 2 or last & (last - 1)):
        raise ValueError(f"without fsq_values the last size must be a power of two, at least 2, not {last}")
    return list(values) or [2] * (last.bit_length() - 1)


def _read_batches(x: Tensor) -> Iterator[NDArray[np.float32]]:
    return (part.detach().cpu().float().numpy() for part in torch.split(x, _ROWS))


def _fit_kmeans_levels(
    residual: Tensor,
    weights: Tensor,
    sizes: Sequence[int],
    old_centroids: Sequence[Tensor | None],
    *,
    iterations: int,
    seed: int,
    tick: Callable[[int], None],
) -> tuple[list[Tensor], list[Tensor]]:
    """Fit the first two levels, each on what the levels before it leave of the rows.

    residual       [items, dim] the vectors; in place, they become what the two levels leave of them
    old_centroids  per level, to start from; None: none
    returns        per level the codes [items], and the centroids [used, dim] float64
    """
    codes, centroids = [], []
    for level, old in enumerate(old_centroids):
        fitted = kmeans(
            residual,
            weights,
            codes=sizes[level],
            iterations=iterations,
            seed=seed + level,
            tick=tick,
            start=old,
            residual=level > 0,
        ).double()
        codes.append(_subtract(residual, partial(assign, centroids=fitted), fitted))
        centroids.append(fitted)
    return codes, centroids


def _subtract(residual: Tensor, encode: Callable[[Tensor], Tensor], table: Tensor) -> Tensor:
    """Subtract from every row [items, dim], in place, the vector of its code.

    encode   rows to codes
    table    [codes, dim] float64, the vectors
    returns  the codes [items]
    """
    codes = []
    for part in torch.split(residual, _ROWS):
        rows = part.double()
        codes.append(encode(rows))
        part.copy_(rows - table[codes[-1]])
    return torch.cat(codes)


def _keep_last_codes(old_codes: Tensor, codes: Sequence[Tensor]) -> Tensor:
    """The old last code [items] of rows whose first two codes are still the same, -1 for the others.

    old_codes  [items, 3]
    codes      the first two codes now, [items] each
    """
    is_same = (old_codes[:, 0] == codes[0]) & (old_codes[:, 1] == codes[1])
    return torch.where(is_same, old_codes[:, 2], -1)


def _freeze(fsq: FSQ) -> FSQ:
    return fsq.double().requires_grad_(False).eval()
