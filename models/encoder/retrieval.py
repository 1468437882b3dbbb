"""How well vectors find the partner of an item among all items."""

import numpy as np
import torch
from numpy.typing import NDArray

from models.encoder.batches import Ints, Partners

ROWS = 1024  # items asked at once, fewer where that is more than so many scores
SCORES_AT_ONCE = 250_000_000
NONE = np.zeros((0, 2), np.int64)


def hit_rates(
    vectors: NDArray[np.float32], pairs: Ints, ks: tuple[int, ...], *, known: Ints = NONE
) -> dict[int, float]:
    """HR@k: how often one item of a pair is among the k items that are most similar to the other.

    Both directions count; an item as similar as the partner stands before it, and every item before one whose
    similarity is no number. Pairs that are known, as those that
    an encoder was trained on, do not stand before the one that is searched for: they are no answer to what is new
    (the filtered ranks of Bordes et al. 2013, "Translating Embeddings").

    vectors  [items, dim], unit length
    pairs    [pairs, 2] item indices
    known    [pairs, 2]
    """
    both = np.concatenate([pairs, pairs[:, ::-1]])
    x, partners = torch.from_numpy(vectors), Partners(known, len(vectors))
    hits = dict.fromkeys(ks, 0)
    size = max(1, min(ROWS, SCORES_AT_ONCE // max(len(vectors), 1)))
    for start in range(0, len(both), size):
        asked, wanted = both[start : start + size].T
        scores = x[asked] @ x.T
        rows = np.arange(len(asked))
        partner = scores[rows, wanted].clone()
        scores[rows, asked] = -torch.inf
        scores[partners.of_each(asked)] = -torch.inf
        scores[rows, wanted] = partner
        before = (~(scores < partner[:, None])).sum(dim=1) - 1
        for k in ks:
            hits[k] += int((before < k).sum())
    return {k: hits[k] / max(len(both), 1) for k in ks}
