"""Number the codes of a refitted codebook such that as few items as possible change their ID.

The number of a code is only a name, so numbers can be swapped. Level by level, an assignment problem gives each new
code the number that most of its items had before. The digits of the last level of Res-KmeansFSQ are matched in the same
way; a digit may also be counted backwards.
"""

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from models.quantizers.res_kmeans import ResKmeans
from models.quantizers.res_kmeans_fsq import ResKmeansFSQ

Int64s = NDArray[np.int64]
Refitted = TypeVar("Refitted", ResKmeans, ResKmeansFSQ)


def match_codebook(old: Refitted, new: Refitted, x: Tensor) -> Refitted:
    """The new codebook with the numbers of the old one, as far as the items agree.

    x        [items, dim] the items whose IDs are to stay
    raises   ValueError if the sizes or the values of the digits differ
    """
    if old.sizes != new.sizes:
        raise ValueError(f"codebooks of sizes {old.sizes} and {new.sizes} cannot be matched")
    before, after = old.encode(x).numpy(), new.encode(x).numpy()
    unmoved = np.ones(len(x), bool)  # items whose codes on the levels so far stay
    numbers = []
    for level, centroids in enumerate(new.centroids):
        numbers.append(torch.from_numpy(match_codes(before[unmoved, level], after[unmoved, level], len(centroids))))
        unmoved &= before[:, level] == numbers[level].numpy()[after[:, level]]
    if isinstance(new, ResKmeans) or isinstance(old, ResKmeans):
        return new.renumber(numbers)
    if not torch.equal(old.fsq.values, new.fsq.values):
        raise ValueError("codebooks whose digits take other values cannot be matched")
    old_digits, new_digits = (
        new.fsq.split_digits(torch.from_numpy(codes[unmoved, 2])).numpy() for codes in (before, after)
    )
    order, reverse = match_digits(old_digits, new_digits, new.fsq.values.numpy())
    return new.renumber(numbers, order, reverse)


def match_codes(before: Int64s, after: Int64s, codes: int) -> Int64s:
    """Find the number for each new code such that as many items as possible keep theirs.

    before, after  [items] old and new code of the same items
    codes          how many new codes there are
    returns        [codes] a permutation of the numbers below `codes`
    """
    has_number = before < codes  # an old number beyond is taken by no new code
    counts = np.zeros((codes, codes), np.float32)
    np.add.at(counts, (after[has_number], before[has_number]), 1)
    counts[np.arange(codes), np.arange(codes)] += 0.5  # between equals, a code keeps its number
    numbers: Int64s = linear_sum_assignment(counts, maximize=True)[1].astype(np.int64)
    return numbers


def match_digits(before: Int64s, after: Int64s, values: Int64s) -> tuple[list[int], list[bool]]:
    """Find the new digit that takes the place of each old one, and whether it is counted backwards.

    before, after  [items, digits] of the same items
    values         [digits] how many values each takes; a digit replaces one with as many values
    """
    old, new = (2.0 * digits / (values - 1) - 1 for digits in (before, after))
    agreement = old.T @ new  # [old digit, new digit]
    agreement[np.diag_indices(len(values))] += 0.5
    gain = np.where(values[:, None] == values, np.abs(agreement), -1.0 - len(before) * len(values))
    order = linear_sum_assignment(gain, maximize=True)[1]
    return order.tolist(), (agreement[np.arange(len(values)), order] < 0).tolist()


def measure_moves(before: Int64s, after: Int64s) -> dict[str, float]:
    """The share of the items whose c1 changed, whose c1 or c2 changed, and whose ID changed.

    before, after  [items, 3] codes of the same items, at least one item
    """
    stay = (before == after).cumprod(axis=1).mean(axis=0)
    return {f"moved_{prefix}": float(1 - share) for prefix, share in zip(("c1", "c1c2", "id"), stay, strict=True)}
