"""The rows of gold.codebooks: every kind of codebook is written to them and read from them.

A row is one vector of a part of a level: a centroid, or one row of a weight. Two more rows, the header, say which kind
and sizes the codebook has and how many rows there are, so that a missing row is noticed.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

Row = tuple[int, str, int, list[float]]  # level, part, code, vector
Parts = dict[tuple[int, str], Tensor]  # level and part to [codes, width] float64
NO_LEVEL = 0  # the level number of parts that belong to the whole codebook


def add_header(kind: str, sizes: Sequence[int], rows: list[Row]) -> list[Row]:
    """Put the header before the rows.

    sizes  codes per level, as asked for
    """
    header: list[Row] = [
        (NO_LEVEL, f"kind.{kind}", 0, [float(size) for size in sizes]),
        (NO_LEVEL, "rows", 0, [float(len(rows))]),
    ]
    return header + rows


def read_header(rows: Sequence[Row]) -> tuple[str, tuple[int, ...]]:
    """Read kind and sizes.

    raises  ValueError if the rows do not name exactly one kind, or are not as many as the header says
    """
    kinds = [(part[5:], vector) for level, part, _, vector in rows if level == NO_LEVEL and part.startswith("kind.")]
    if len(kinds) != 1:
        raise ValueError(f"the rows of a codebook must name one kind, these name {len(kinds)}")
    counts = [vector[0] for level, part, _, vector in rows if (level, part) == (NO_LEVEL, "rows")]
    if counts != [len(rows) - 2]:
        raise ValueError(f"rows are missing: the codebook says it has {counts}, {len(rows) - 2} came")
    kind, sizes = kinds[0]
    return kind, check_sizes([int(size) for size in sizes])


def check_sizes(sizes: Sequence[int], min_levels: int = 1) -> tuple[int, ...]:
    """Return the sizes as a tuple. raises ValueError if they are too few or one is below 1"""
    if len(sizes) < min_levels or min(sizes) < 1:
        raise ValueError(f"sizes must be {min_levels} or more positive numbers, not {list(sizes)}")
    return tuple(sizes)


def weight_to_rows(level: int, part: str, weight: Tensor) -> list[Row]:
    """Write a weight of any shape: one row for each vector along its last dimension."""
    return [(level, part, code, vector) for code, vector in enumerate(weight.reshape(-1, weight.shape[-1]).tolist())]


def centroids_to_rows(centroids: Sequence[Tensor]) -> list[Row]:
    """Write the centroids [codes, width] of each level, from level 1."""
    return [row for level, weight in enumerate(centroids, start=1) for row in weight_to_rows(level, "centroid", weight)]


def read_parts(rows: Sequence[Row]) -> Parts:
    """Read all weights. raises ValueError if a row between others is missing, or a number is NaN or infinity"""
    vectors: dict[tuple[int, str], dict[int, list[float]]] = {}
    for level, part, code, vector in rows:
        vectors.setdefault((level, part), {})[code] = vector
    return {key: _stack(key, vectors_of_part) for key, vectors_of_part in vectors.items()}


def _stack(key: tuple[int, str], vectors: dict[int, list[float]]) -> Tensor:
    if sorted(vectors) != list(range(len(vectors))):
        raise ValueError(f"level {key[0]}, part {key[1]}: rows are missing, only {len(vectors)} came")
    weight = torch.tensor([vectors[code] for code in range(len(vectors))], dtype=torch.float64)
    if not torch.isfinite(weight).all():
        raise ValueError(f"level {key[0]}, part {key[1]}: holds NaN or infinity")
    return weight


def get_part(parts: Parts, level: int, part: str) -> Tensor:
    """One weight. raises ValueError if it is missing"""
    if (level, part) not in parts:
        raise ValueError(f"the codebook lacks level and part {(level, part)}")
    return parts[level, part]


def get_centroids(parts: Parts, levels: int) -> tuple[Tensor, ...]:
    """The centroids that `centroids_to_rows` wrote. raises ValueError if a level is missing"""
    return tuple(get_part(parts, level, "centroid") for level in range(1, levels + 1))
