"""The rows of a training: which ones are trained on, and which ones each worker computes."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from models.distributed import worker_count, worker_index
from models.ranker.histories import Int64s
from models.ranker.samples import Samples
from models.training import parallel


@dataclass(frozen=True)
class TrainingRows:
    """The rows of all workers, by number, and the data of those that this worker computes.

    data      samples: all rows or, if the rows are split, those of this worker
    train     numbers of the rows to train on
    valid     numbers of the rows that measure the epochs
    is_split  of W workers, worker w has the rows w, w + W, w + 2 W, ... in `data`, and no others
    """

    data: Samples
    train: Int64s
    valid: Int64s
    is_split: bool = False

    @classmethod
    def split_by_time(cls, data: Samples, share: float) -> Self:
        """Train on the earlier rows; the latest `share` of the rows measures. The order of `data` does not matter."""
        order = np.lexsort((data.target, data.groups, data.ts))
        at = len(order) - int(len(order) * share)
        return cls(data, order[:at], order[at:])

    def select_own(self, numbers: Int64s) -> tuple[Int64s, Int64s]:
        """Which of these rows this worker computes: their positions in `numbers`, and their places in `data`."""
        if not self.is_split:
            positions = parallel.take_share(np.arange(len(numbers)))
            return positions, numbers[positions]
        positions = np.flatnonzero(numbers % worker_count() == worker_index())
        return positions, numbers[positions] // worker_count()

    def count_labels(self, numbers: Int64s, own: Int64s, device: torch.device) -> NDArray[np.int64]:
        """How many of these rows have a label of each task [tasks]. own: places of those that this worker computes"""
        known = np.isfinite(self.data.labels[own if self.is_split else numbers]).sum(axis=0)
        return parallel.sum_over_workers(known, device) if self.is_split else known

    def gather(self, values: NDArray[Any], numbers: Int64s, device: torch.device) -> NDArray[Any]:
        """The values of these rows, on all workers. values: [rows of `data`, ...]"""
        positions, places = self.select_own(numbers)
        gathered = np.zeros((len(numbers), *values.shape[1:]), values.dtype)
        gathered[positions] = values[places]
        return parallel.sum_over_workers(gathered, device)
