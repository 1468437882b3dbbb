"""Find the nearest centroid of each row, in the precision of the rows.

All distances [codes, items] at once would not fit in memory. So rows come in small blocks, and the scores of a block
are reduced to the best one while they are still in the processor's cache. Scores lie as [codes, rows], because the
maximum over the codes then runs along whole vectors of rows.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.functional import pad

_ROWS, _SCORES = 512, 1 << 21  # of a block, at most: fewer rows if there are many codes
_ROWS_ON_GPU = 1 << 14
_GROUP = 32  # codes in a group, see `_first_max`

Part = TypeVar("Part")
Result = TypeVar("Result")


def assign(x: Tensor, centroids: Tensor) -> Tensor:
    """Find the nearest centroid of every row; of equally near centroids, the one with the lower code.

    x          [items, dim]
    centroids  [codes, dim], same dtype
    returns    [items] int64
    """
    return NearestCentroid(centroids).find(x)[0]


class NearestCentroid:
    """Compares rows with the same centroids again and again.

    The score of a row x and a centroid c is x·c - |c|²/2. With their distance d it equals (|x|² - d²)/2, so the highest
    score belongs to the nearest centroid. All scores of a block are one matrix product.
    """

    def __init__(self, centroids: Tensor, scale: float = 1.0) -> None:
        """centroids [codes, dim]; scale: what rows are multiplied by first, so that they are as large as centroids."""
        self.codes, self.scale = len(centroids), scale
        self._centroids = pad(centroids, (0, 0, 0, -self.codes % _GROUP))
        self._half_norms = self._centroids.square().sum(1, keepdim=True) / 2
        self._half_norms[self.codes :] = torch.inf  # the padding is infinitely far from every row

    def find(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Find the nearest code [rows] int64 and the squared distance to it [rows].

        rows  [rows, dim], not yet multiplied by `scale`
        """
        codes, distances = zip(*map_on_cores(self._find_in_block, self._split(rows), rows.device), strict=True)
        return torch.cat(codes), torch.cat(distances)

    def _find_in_block(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        rows = rows * self.scale
        scores = torch.addmm(self._half_norms, self._centroids, rows.T, beta=-1)
        score, codes = scores.max(0) if scores.is_cuda else _first_max(scores)
        return codes, (rows.square().sum(1) - 2 * score).clamp_min(0)

    def _split(self, rows: Tensor) -> tuple[Tensor, ...]:
        return tuple(torch.split(rows, _ROWS_ON_GPU if rows.is_cuda else max(64, min(_ROWS, _SCORES // self.codes))))


def map_on_cores(work: Callable[[Part], Result], parts: Iterable[Part], device: torch.device) -> Iterator[Result]:
    """Work on the parts, each on one core: several cores that share a small part mostly wait for each other.

    On a GPU, and where there is a single thread, this is `map(work, parts)`.
    """
    threads = torch.get_num_threads()
    if threads == 1 or device.type == "cuda":
        yield from map(work, parts)
        return
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(work, parts)
    finally:
        torch.set_num_threads(threads)  # the pool's threads have changed this for every thread that starts later


def _first_max(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The same as `scores.max(0)`, quicker on a processor.

    A maximum without its index is quick. So find the maximum of each group of codes, the first group that has the
    overall maximum, and then the first such code within that group.
    """
    groups = scores.view(len(scores) // _GROUP, _GROUP, scores.shape[1])
    group_max = groups.amax(1)
    score = group_max.amax(0)
    best_group = _first_true(group_max >= score)
    in_best_group = groups.gather(0, best_group.expand(1, _GROUP, -1))[0]
    return score, best_group * _GROUP + _first_true(in_best_group >= score)


def _first_true(is_true: Tensor) -> Tensor:
    """The first row of each column that is true."""
    places = torch.arange(len(is_true), dtype=torch.float32)[:, None]
    return torch.where(is_true, places, torch.inf).amin(0).long()
