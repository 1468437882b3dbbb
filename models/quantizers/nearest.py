"""The nearest of many centroids, for blocks of rows that stay in the processor's cache.

Of the matrix [items, codes] only one block exists at a time, and it is reduced while it is still in cache. It lies
as [codes, rows], so that the reduction runs along whole vectors of rows.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.functional import pad

_ROWS, _SCORES = 512, 1 << 21  # at once: fewer rows where codes are many
_ROWS_ON_GPU = 1 << 14
_GROUP = 32  # codes whose maximum is taken first
_CODE_BITS = 16  # that a bfloat16 leaves free in the float32 it is widened to
_ROUNDING = 2.0**-8  # of a bfloat16, at most
_DOUBT = 3.0  # standard deviations of what rounding does to the difference of two scores

Part = TypeVar("Part")
Done = TypeVar("Done")


def assign(x: Tensor, centroids: Tensor) -> Tensor:
    """Find the nearest centroid of every row; of equally near ones, the lower code.

    x          [items, dim]
    centroids  [codes, dim], same dtype
    returns    [items] int64
    """
    return Nearest(centroids)(x)[0]


class Nearest:
    """Compares rows with the same centroids, in their own precision.

    A score is x·c - |c|²/2 = (|x|² - d²)/2, so that the highest one is of the nearest centroid.
    """

    def __init__(self, centroids: Tensor, scale: float = 1.0) -> None:
        """`scale` is what rows are multiplied by, so that they are as large as the centroids [codes, dim]."""
        self.codes, self.scale = len(centroids), scale
        self._centroids = pad(centroids, (0, 0, 0, -self.codes % _GROUP))
        self._half_norms = self._centroids.square().sum(1, keepdim=True) / 2
        self._half_norms[self.codes :] = torch.inf  # the padding is near to nothing

    def __call__(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nearest code [rows] int64 and the squared distance to it [rows].

        rows  [rows, dim], still to be multiplied by `scale`
        """
        labels, distances = zip(*each(self._block, self._blocks(rows), rows.device), strict=True)
        return torch.cat(labels), torch.cat(distances)

    def _block(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        rows = rows * self.scale
        scores = torch.addmm(self._half_norms, self._centroids, rows.T, beta=-1)
        score, labels = scores.max(0) if scores.is_cuda else _first_max(scores)
        return labels, (rows.square().sum(1) - 2 * score).clamp_min(0)

    def _blocks(self, rows: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.split(rows, _ROWS_ON_GPU if rows.is_cuda else max(64, min(_ROWS, _SCORES // self.codes))))


class QuickNearest(Nearest):
    """The same for float32 by a product in bfloat16, and one in float32 where that leaves a doubt.

    What a product in bfloat16 gives is rounded, too, which matters where it is large. So half the squared norm of the
    centroid, and of the row less half a distance that is about right, are part of the product, each as three columns
    that add up to a float32. A score is then half of what the distance gains, which is small for near centroids.
    Rounding the factors does little in many dimensions, and that little is known well enough to tell a doubt.
    """

    CODES = 1 << _CODE_BITS  # at most

    def __init__(self, centroids: Tensor, scale: float, some: Tensor) -> None:
        """Learn from some rows [n, dim], like those to come, what a right distance is."""
        super().__init__(centroids, scale)
        squares = float((some * scale).square().sum())
        self._level = float(super().__call__(some)[1].sum()) / squares if squares else 1.0
        norms = centroids.square().sum(1)
        self._noise = _DOUBT * _ROUNDING * float((norms.max() / centroids.shape[1]).sqrt())
        self._wide = _columns(centroids, _three(norms / -2), ones_first=False)
        self._places = torch.arange(self.codes, dtype=torch.int32, device=centroids.device)[:, None]

    def __call__(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        labels, distances, doubtful = map(
            torch.cat, zip(*each(self._rough, self._blocks(rows), rows.device), strict=True)
        )
        doubts = torch.nonzero(doubtful).squeeze(1)
        if len(doubts):
            labels[doubts], distances[doubts] = super().__call__(rows[doubts])
        return labels, distances

    def _rough(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Code, squared distance, and whether another code may be the nearest."""
        rows = rows * self.scale
        norms = rows.square().sum(1)
        about = self._level * norms
        scores = self._wide @ _columns(rows, _three((about - norms) / 2), ones_first=True).T
        score, labels, second = _two_best(scores) if scores.is_cuda else self._two_best_packed(scores)
        noise = self._noise * norms.sqrt() + _ROUNDING * (score.abs() + second.abs())
        return labels, (about - 2 * score).clamp_min(0), score - second < noise

    def _two_best_packed(self, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Code and score in one float32, as a maximum alone is far quicker than a maximum with its place."""
        packed = scores.float()
        packed.view(torch.int32).bitwise_or_(self._places)
        best = packed.amax(0)
        labels = best.view(torch.int32) & (self.CODES - 1)
        packed.scatter_(0, labels[None].long(), -torch.inf)
        return best, labels.long(), packed.amax(0)


def each(work: Callable[[Part], Done], parts: Iterable[Part], device: torch.device) -> Iterator[Done]:
    """Work on parts, each on one core: cores that share a small part mostly wait for each other."""
    threads = torch.get_num_threads()
    if threads == 1 or device.type == "cuda":
        yield from map(work, parts)
        return
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(work, parts)
    finally:
        torch.set_num_threads(threads)  # which the threads have set for those to come


def _columns(x: Tensor, three: Tensor, *, ones_first: bool) -> Tensor:
    """[n, dim + 6, filled up to a multiple of 8, as matrix units want it] bfloat16."""
    dim = x.shape[1]
    wide = x.new_zeros(len(x), dim + 6 + -(dim + 6) % 8, dtype=torch.bfloat16)
    wide[:, :dim] = x
    ones, parts = (dim, dim + 3) if ones_first else (dim + 3, dim)
    wide[:, ones : ones + 3] = 1
    wide[:, parts : parts + 3] = three
    return wide


def _three(values: Tensor) -> Tensor:
    """Float32 [n] as three bfloat16 [n, 3] that add up to it."""
    high = values.bfloat16()
    rest = values - high
    middle = rest.bfloat16()
    return torch.stack([high, middle, (rest - middle).bfloat16()], 1)


def _two_best(scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    score, labels = scores.max(0)
    scores.scatter_(0, labels[None], -torch.inf)
    return score.float(), labels, scores.amax(0).float()


def _first_max(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The same as `scores.max(0)`, quicker on a processor: maxima of groups of codes, then within the best group."""
    groups = scores.view(len(scores) // _GROUP, _GROUP, scores.shape[1])
    best = groups.amax(1)
    score = best.amax(0)
    group = _first(best >= score)
    within = groups.gather(0, group.expand(1, _GROUP, -1))[0]
    return score, group * _GROUP + _first(within >= score)


def _first(true: Tensor) -> Tensor:
    """The first row of each column that is true."""
    places = torch.arange(len(true), dtype=torch.float32)[:, None]
    return torch.where(true, places, torch.inf).amin(0).long()
