"""A refitted codebook in the numbers of the old one, so that surviving items move as little as possible.

Level by level an assignment problem: each new code takes the number under which most of its items were known. A code's
number is a name, so nothing else changes. The digits of the last level are matched alike, each with its sense.
"""

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from models.quantizers.res_kmeans import ResKmeans
from models.quantizers.res_kmeans_fsq import ResKmeansFSQ

Ints = NDArray[np.int64]
Refitted = TypeVar("Refitted", ResKmeans, ResKmeansFSQ)


def matched(old: Refitted, new: Refitted, x: Tensor) -> Refitted:
    """The new codebook with the old one's numbers, as far as the items agree.

    x        [items, dim] the items to go by
    raises   ValueError if their sizes or the values of their digits differ
    """
    if old.sizes != new.sizes:
        raise ValueError(f"codebooks of sizes {old.sizes} and {new.sizes} have no numbers in common")
    before, after = old.encode(x).numpy(), new.encode(x).numpy()
    same = np.ones(len(x), bool)  # items whose codes so far have not moved
    names = []
    for level, moving in enumerate(new.centroids):
        names.append(torch.from_numpy(renumbered(before[same, level], after[same, level], len(moving))))
        same &= before[:, level] == names[level].numpy()[after[:, level]]
    if isinstance(new, ResKmeans) or isinstance(old, ResKmeans):
        return new.renamed(names)
    if not torch.equal(old.fsq.values, new.fsq.values):
        raise ValueError("codebooks whose digits take other values have no numbers in common")
    was, now = (new.fsq.parted(torch.from_numpy(codes[same, 2])).numpy() for codes in (before, after))
    order, turned = matched_digits(was, now, new.fsq.values.numpy())
    return new.renamed(names, order, turned)


def renumbered(before: Ints, after: Ints, codes: int) -> Ints:
    """The number that each new code gets: the one that keeps the most items where they were.

    before, after  [items] old and new code of the same items
    codes          new codes there are, which keep to the numbers below
    returns        [codes] a permutation of the numbers below `codes`
    """
    kept = before < codes  # an old number that no new code can take
    counts = np.zeros((codes, codes), np.float32)
    np.add.at(counts, (after[kept], before[kept]), 1)
    counts[np.arange(codes), np.arange(codes)] += 0.5  # of equals, the number that it has already
    names: Ints = linear_sum_assignment(counts, maximize=True)[1].astype(np.int64)
    return names


def matched_digits(before: Ints, after: Ints, values: Ints) -> tuple[list[int], list[bool]]:
    """Which new digit goes to the place of each old one, and whether it is counted backwards.

    before, after  [items, digits] of the same items
    values         [digits] that each takes; a digit goes where one of as many values was
    """
    old, new = (2.0 * digits / (values - 1) - 1 for digits in (before, after))
    agreement = old.T @ new  # [old digit, new digit]
    agreement[np.diag_indices(len(values))] += 0.5
    gain = np.where(values[:, None] == values, np.abs(agreement), -1.0 - len(before) * len(values))
    order = linear_sum_assignment(gain, maximize=True)[1]
    return order.tolist(), (agreement[np.arange(len(values)), order] < 0).tolist()


def moved(before: Ints, after: Ints) -> dict[str, float]:
    """Share of the items whose c1, whose c1 and c2, whose whole ID changed.

    before, after  [items, 3] codes of the same items, at least one
    """
    stay = (before == after).cumprod(axis=1).mean(axis=0)
    return {f"moved_{what}": float(1 - share) for what, share in zip(("c1", "c1c2", "id"), stay, strict=True)}
