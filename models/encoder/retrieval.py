"""How well vectors find the partner of an item among all items."""

import numpy as np
import torch
from numpy.typing import NDArray

ROWS = 1024  # items asked at once


def hit_rates(vectors: NDArray[np.float32], pairs: NDArray[np.int64], ks: tuple[int, ...]) -> dict[int, float]:
    """HR@k: how often one item of a pair is among the k items that are most similar to the other.

    Both directions count; an item as similar as the partner stands before it.

    vectors  [items, dim], unit length
    pairs    [pairs, 2] item indices
    """
    both = np.concatenate([pairs, pairs[:, ::-1]])
    x = torch.from_numpy(vectors)
    hits = dict.fromkeys(ks, 0)
    for start in range(0, len(both), ROWS):
        asked, wanted = torch.from_numpy(both[start : start + ROWS]).T
        scores = x[asked] @ x.T
        rows = torch.arange(len(asked))
        partner = scores[rows, wanted].clone()
        scores[rows, asked] = -torch.inf
        before = (scores >= partner[:, None]).sum(dim=1) - 1
        for k in ks:
            hits[k] += int((before < k).sum())
    return {k: hits[k] / max(len(both), 1) for k in ks}
