"""What every fitted codebook can do, and what all of them share: checks, distinct rows, rows of gold.codebooks."""

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol, Self

import numpy as np
import torch
from torch import Tensor

Row = tuple[int, str, int, list[float]]  # level, part, code, vector: a row of gold.codebooks
Progress = Callable[[int, int], None]  # called with (steps done, steps in all)
Tick = Callable[[int], None]
Parts = dict[tuple[int, str], Tensor]  # level and part to [codes, width] float64
WHOLE = 0  # the level of parts that belong to no level
_ROWS = 1 << 16  # encoded at once
LARGEST = 1e15  # of a vector's numbers: sums of their squares are float32 numbers


class Codebook(Protocol):
    """A fitted codebook: item vectors to codes and back.

    Weights are float32 numbers held as float64, so that an item's codes do not depend on the items beside it.
    Neither the order of the rows of x nor the number of cores changes what is fitted.
    """

    kind: ClassVar[str]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Codes per level, as asked for; a level may give out fewer."""

    @classmethod
    def fit(cls, x: Tensor, *, sizes: Sequence[int], seed: int, progress: Progress | None = None) -> Self:
        """Fit on items. A kind's own settings are further keywords with defaults.

        x       [items, dim] float32, finite, at least one item
        raises  ValueError if x is empty or holds NaN or infinity, or the sizes do not suit the kind
        """

    @classmethod
    def from_rows(cls, rows: Sequence[Row]) -> Self:
        """Read what `to_rows` wrote, rows in any order.

        raises  ValueError if a part or a row of it is missing
        """

    def encode(self, x: Tensor) -> Tensor:
        """Give every item its codes.

        x        [items, dim] float32, finite
        returns  [items, levels] int64, level l in [0, sizes[l])
        raises   ValueError if x holds NaN or infinity, or dim is not the codebook's
        """

    def decode(self, codes: Tensor) -> Tensor:
        """Rebuild vectors: codes [items, levels] to [items, dim] float32.

        raises  ValueError if a code is out of range or was never given out
        """

    def to_rows(self) -> list[Row]:
        """All of it as rows of gold.codebooks, `headed`."""


def headed(kind: str, sizes: Sequence[int], rows: list[Row]) -> list[Row]:
    """The rows behind two that tell what kind of codebook they are, its sizes as asked for, and how many they are."""
    told = (WHOLE, f"kind.{kind}", 0, [float(size) for size in sizes])
    return [told, (WHOLE, "rows", 0, [float(len(rows))]), *rows]


def read_heading(rows: Sequence[Row]) -> tuple[str, tuple[int, ...]]:
    """Kind and sizes. raises ValueError if the rows do not tell exactly one kind, or are not as many as they say"""
    found = [(part[5:], vector) for level, part, _, vector in rows if level == WHOLE and part.startswith("kind.")]
    if len(found) != 1:
        raise ValueError(f"rows of one codebook name one kind, these name {len(found)}")
    told = [vector[0] for level, part, _, vector in rows if (level, part) == (WHOLE, "rows")]
    if told != [len(rows) - 2]:
        raise ValueError(f"rows are missing: the codebook tells of {told}, {len(rows) - 2} came")
    return found[0][0], check_sizes([int(size) for size in found[0][1]])


def weight_rows(level: int, part: str, weight: Tensor) -> list[Row]:
    """A weight of any shape as rows of its last dimension."""
    return [(level, part, code, vector) for code, vector in enumerate(weight.reshape(-1, weight.shape[-1]).tolist())]


def centroid_rows(centroids: Sequence[Tensor]) -> list[Row]:
    """The centroids [codes, width] of each level, from level 1."""
    return [row for level, found in enumerate(centroids, start=1) for row in weight_rows(level, "centroid", found)]


def read_parts(rows: Sequence[Row]) -> Parts:
    """Weights by level and part. raises ValueError if a row is missing between others, or a number is none"""
    found: dict[tuple[int, str], dict[int, list[float]]] = {}
    for level, part, code, vector in rows:
        found.setdefault((level, part), {})[code] = vector
    return {key: _stack(key, vectors) for key, vectors in found.items()}


def _stack(key: tuple[int, str], vectors: dict[int, list[float]]) -> Tensor:
    if sorted(vectors) != list(range(len(vectors))):
        raise ValueError(f"level {key[0]}, part {key[1]}: rows are missing, only {len(vectors)} came")
    found = torch.tensor([vectors[code] for code in range(len(vectors))], dtype=torch.float64)
    if not torch.isfinite(found).all():
        raise ValueError(f"level {key[0]}, part {key[1]}: holds NaN or infinity")
    return found


def part_of(parts: Parts, level: int, part: str) -> Tensor:
    if (level, part) not in parts:
        raise ValueError(f"the codebook lacks level and part {(level, part)}")
    return parts[level, part]


def centroids_of(parts: Parts, levels: int) -> tuple[Tensor, ...]:
    """What `centroid_rows` wrote. raises ValueError if a level is missing"""
    return tuple(part_of(parts, level, "centroid") for level in range(1, levels + 1))


def in_chunks(encode: Callable[[Tensor], Tensor], x: Tensor, levels: int) -> Tensor:
    """Encode checked rows x [items, dim] in float64 on the CPU, some at a time: [items, levels] int64."""
    found = [encode(x[first : first + _ROWS].detach().cpu().double()) for first in range(0, len(x), _ROWS)]
    return torch.cat(found) if found else torch.empty(0, levels, dtype=torch.int64)


def check_sizes(sizes: Sequence[int], at_least: int = 1) -> tuple[int, ...]:
    if len(sizes) < at_least or min(sizes) < 1:
        raise ValueError(f"sizes must be {at_least} or more positive numbers, not {list(sizes)}")
    return tuple(sizes)


def check_vectors(x: Tensor, dim: int | None) -> None:
    """raises ValueError if x is not [items, dim], not finite, or, with no dim to be held to, empty"""
    if x.ndim != 2 or (dim is not None and x.shape[1] != dim):
        raise ValueError(f"x must have shape [items, {dim or 'dim'}], not {list(x.shape)}")
    if dim is None and not x.numel():
        raise ValueError("there is no item to fit a codebook on")
    if bad := sum(int((~usable(part)).sum()) for part in torch.split(x, _ROWS)):
        raise ValueError(f"{bad} of {len(x)} vectors hold NaN, infinity or a number above {LARGEST:g}")
    if dim is None and 0 < (largest := max(float(part.abs().max()) for part in torch.split(x, _ROWS))) < 1 / LARGEST:
        raise ValueError(f"the largest number of all vectors is {largest:g}, their squares would be 0: scale them")


def usable(x: Tensor) -> Tensor:
    """Whether each row's squares are numbers in float32: bool [rows]."""
    return (x.abs() <= LARGEST).all(1)


def check_codes(codes: Tensor, given_out: Sequence[int]) -> Tensor:
    """The codes [items, levels] as int64 on the CPU. raises ValueError if one is not below its level's number"""
    if codes.ndim != 2 or codes.shape[1] != len(given_out):
        raise ValueError(f"codes must have shape [items, {len(given_out)}], not {list(codes.shape)}")
    codes = codes.long().cpu()
    if len(codes) and bool(((codes < 0) | (codes >= torch.tensor(given_out))).any()):
        raise ValueError(f"a code is outside what this codebook gives out: {list(given_out)} codes per level")
    return codes


def distinct(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Distinct rows in the order of their bytes, how often each came, and for each row of x which it is."""
    rows = np.ascontiguousarray(x.detach().cpu().float().numpy() + 0.0)  # + 0.0: one kind of zero
    keys = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
    _, first, owner, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    return torch.from_numpy(rows[first]), torch.from_numpy(counts), torch.from_numpy(owner)


def ticker(total: int, progress: Progress | None) -> Tick:
    """Counts steps for whoever wants to know (done, total)."""
    done = 0

    def tick(steps: int) -> None:
        nonlocal done
        done += steps
        if progress is not None:
            progress(done, total)

    return tick
