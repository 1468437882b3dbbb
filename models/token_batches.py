"""Batches of token sequences of similar length, so that little padding is computed."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray


def token_batches(lengths: Sequence[int], budget: int) -> Iterator[NDArray[np.int64]]:
    """Yield the indices of sequences in batches of at most `budget` tokens with padding, the longest sequences first.

    A sequence that is longer than the budget is a batch of its own.

    lengths  [sequences] tokens of each
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    start = 0
    while start < len(order):
        size = max(1, budget // max(1, lengths[order[start]]))
        yield order[start : start + size]
        start += size
