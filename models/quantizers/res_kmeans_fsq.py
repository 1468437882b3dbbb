"""Res-KmeansFSQ: item vectors to semantic IDs and back.

Two levels of residual k-means, then binary finite scalar quantisation of what is left.
Source: QARM V2 (arXiv 2602.08559), section 3.2; how the last level is trained: `models.quantizers.fsq`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.quantizers.fsq import BinaryFSQ, fit_fsq
from models.quantizers.kmeans import assign, kmeans
from models.quantizers.points import distinct

Row = tuple[int, str, int, list[float]]  # level, part, code, vector: a row of gold.codebooks
_LEVELS = 3
_ENCODE_ROWS = 1 << 16


@dataclass(frozen=True)
class ResKmeansFSQ:
    """A fitted codebook. float32 weights held as float64, so that an ID does not depend on its batch."""

    centroids: tuple[Tensor, Tensor]  # per level [used, dim]; a code without centroid is given to no item
    fsq: BinaryFSQ
    sizes: tuple[int, int, int]

    @classmethod
    def fit(
        cls,
        x: Tensor,
        *,
        sizes: Sequence[int] = (256, 256, 256),
        seed: int,
        kmeans_iterations: int,
        fsq_steps: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> "ResKmeansFSQ":
        """Fit all levels; the order of the items does not matter.

        x         [items, dim] float32, finite, at least one item. With fewer distinct items than
                  codes, only as many codes as there are distinct items (level 2: residuals) get a centroid
        sizes     codes per level; the last a power of two, at least 2
        progress  called with (steps done, steps in all)
        raises    ValueError if x is empty or holds NaN or infinity, or a size is wrong
        source    QARM V2 (arXiv 2602.08559), section 3.2
        """
        bits = _bits(sizes)
        _check(x, dim=None)
        tick = _ticker(2 * kmeans_iterations + fsq_steps, progress)
        with TemporaryDirectory() as scratch:
            residual, weights = distinct(_batches(x), Path(scratch))
            buckets = torch.zeros(len(residual), dtype=torch.int64)
            centroids = []
            for level in (0, 1):
                fitted = kmeans(
                    residual,
                    weights,
                    codes=sizes[level],
                    iterations=kmeans_iterations,
                    seed=seed + level,
                    tick=tick,
                ).double()
                buckets = buckets * sizes[level] + _take_off(residual, fitted)
                centroids.append(fitted)
            fsq = fit_fsq(residual, buckets, bits=bits, steps=fsq_steps, seed=seed + 2, tick=tick)
        return cls((centroids[0], centroids[1]), _frozen(fsq), (sizes[0], sizes[1], sizes[2]))

    def encode(self, x: Tensor) -> Tensor:
        """Give every item its semantic ID.

        x        [items, dim] float32, finite
        returns  [items, 3] int64, level l in [0, sizes[l])
        raises   ValueError if x holds NaN or infinity, or dim is not the codebook's
        source   QARM V2 (arXiv 2602.08559), section 3.2
        """
        _check(x, dim=self.fsq.dim)
        starts = range(0, len(x), _ENCODE_ROWS)
        parts = [self._encode(x[first : first + _ENCODE_ROWS].detach().cpu().double()) for first in starts]
        return torch.cat(parts) if parts else torch.empty(0, _LEVELS, dtype=torch.int64)

    def decode(self, codes: Tensor) -> Tensor:
        """Rebuild vectors from semantic IDs.

        codes    [items, 3] integers
        returns  [items, dim] float32
        raises   ValueError if a code is out of range or has no centroid
        """
        if codes.ndim != 2 or codes.shape[1] != _LEVELS:
            raise ValueError(f"codes must have shape [items, {_LEVELS}], not {list(codes.shape)}")
        codes = codes.long().cpu()
        limits = torch.tensor([len(self.centroids[0]), len(self.centroids[1]), self.sizes[2]])
        if len(codes) and bool(((codes < 0) | (codes >= limits)).any()):
            raise ValueError(f"a code is outside what this codebook gives out: {limits.tolist()} codes per level")
        first, second = self.centroids
        rebuilt = first[codes[:, 0]] + second[codes[:, 1]] + self.fsq.decode(codes[:, 2])
        return rebuilt.float()

    def to_rows(self) -> list[Row]:
        """All of it as rows (level, part, code, vector) of gold.codebooks; part `size` = codes asked for."""
        rows: list[Row] = [(level, "size", 0, [float(size)]) for level, size in enumerate(self.sizes, start=1)]
        for level, centroids in enumerate(self.centroids, start=1):
            rows += [(level, "centroid", code, vector) for code, vector in enumerate(centroids.tolist())]
        for part, weight in self.fsq.state_dict().items():
            rows += [
                (_LEVELS, part, code, vector)
                for code, vector in enumerate(weight.reshape(-1, weight.shape[-1]).tolist())
            ]
        return rows

    @classmethod
    def from_rows(cls, rows: Sequence[Row]) -> "ResKmeansFSQ":
        """Read what `to_rows` wrote, rows in any order.

        raises  ValueError if a part or a row of it is missing
        """
        parts: dict[tuple[int, str], dict[int, list[float]]] = {}
        for level, part, code, vector in rows:
            parts.setdefault((level, part), {})[code] = vector
        weights = {key: _stack(key, vectors) for key, vectors in parts.items()}
        try:
            sizes = [int(weights[level, "size"].item()) for level in range(1, _LEVELS + 1)]
            first, second = weights[1, "centroid"], weights[2, "centroid"]
            hidden = len(weights[_LEVELS, "encoder.0.weight"])
            fsq = BinaryFSQ(first.shape[1], _bits(sizes), hidden).double()
            shapes = fsq.state_dict()
            fsq.load_state_dict({part: weights[_LEVELS, part].reshape(old.shape) for part, old in shapes.items()})
        except KeyError as missing:
            raise ValueError(f"the codebook lacks level and part {missing}") from missing
        return cls((first, second), _frozen(fsq), (sizes[0], sizes[1], sizes[2]))

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


def _bits(sizes: Sequence[int]) -> int:
    if len(sizes) != _LEVELS or min(sizes) < 1:
        raise ValueError(f"sizes must be {_LEVELS} positive numbers, not {list(sizes)}")
    last = sizes[-1]
    if last < 2 or last & (last - 1):
        raise ValueError(f"the last size must be a power of two, at least 2 (binary FSQ), not {last}")
    return last.bit_length() - 1


def _check(x: Tensor, dim: int | None) -> None:
    if x.ndim != 2 or (dim is not None and x.shape[1] != dim):
        raise ValueError(f"x must have shape [items, {dim or 'dim'}], not {list(x.shape)}")
    if dim is None and not x.numel():
        raise ValueError("there is no item to fit a codebook on")
    if bad := sum(int((~torch.isfinite(part).all(1)).sum()) for part in torch.split(x, _ENCODE_ROWS)):
        raise ValueError(f"{bad} of {len(x)} vectors hold NaN or infinity")


def _batches(x: Tensor) -> Iterator[NDArray[np.float32]]:
    return (part.detach().cpu().float().numpy() for part in torch.split(x, _ENCODE_ROWS))


def _take_off(residual: Tensor, centroids: Tensor) -> Tensor:
    """Subtract from every row [items, dim], in place, its nearest centroid. returns the codes [items]"""
    codes = []
    for part in torch.split(residual, _ENCODE_ROWS):
        rows = part.double()
        codes.append(assign(rows, centroids))
        part.copy_(rows - centroids[codes[-1]])
    return torch.cat(codes)


def _ticker(total: int, progress: Callable[[int, int], None] | None) -> Callable[[int], None]:
    done = 0

    def tick(steps: int) -> None:
        nonlocal done
        done += steps
        if progress is not None:
            progress(done, total)

    return tick


def _frozen(fsq: BinaryFSQ) -> BinaryFSQ:
    return fsq.double().requires_grad_(False).eval()


def _stack(key: tuple[int, str], vectors: dict[int, list[float]]) -> Tensor:
    if sorted(vectors) != list(range(len(vectors))):
        raise ValueError(f"level {key[0]}, part {key[1]}: rows are missing, only {len(vectors)} came")
    return torch.tensor([vectors[code] for code in range(len(vectors))], dtype=torch.float64)
