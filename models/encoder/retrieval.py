"""How well vectors find the partner of an item among all items."""

import numpy as np
import torch
from numpy.typing import NDArray

from models.encoder.pair_batches import Int64s, Partners

ROWS_AT_ONCE = 1024  # most items that are searched for at once
SCORES_AT_ONCE = 250_000_000  # most scores in memory; a large catalogue is searched for fewer items at once
NO_PAIRS = np.zeros((0, 2), np.int64)


def hit_rates(
    vectors: NDArray[np.float32], pairs: Int64s, ks: tuple[int, ...], *, known: Int64s = NO_PAIRS
) -> dict[int, float]:
    """HR@k: how often one item of a pair is among the k items that are most similar to the other item.

    Both directions count. An item that is as similar as the partner comes before the partner. A partner whose
    similarity is NaN comes last. Partners from known pairs, such as the pairs that an encoder was trained on, are
    left out of the list: they do not answer what is new (the filtered ranking of Bordes et al. 2013, "Translating
    Embeddings").

    vectors  [items, dim], unit length
    pairs    [pairs, 2] item indices
    known    [pairs, 2] item indices
    returns  HR@k of each k
    """
    both = np.concatenate([pairs, pairs[:, ::-1]])
    x, known_partners = torch.from_numpy(vectors), Partners(known, len(vectors))
    hits = dict.fromkeys(ks, 0)
    size = max(1, min(ROWS_AT_ONCE, SCORES_AT_ONCE // max(len(vectors), 1)))
    for start in range(0, len(both), size):
        queries, targets = both[start : start + size].T
        scores = x[queries] @ x.T
        rows = np.arange(len(queries))
        target_scores = scores[rows, targets].clone()
        scores[rows, queries] = -torch.inf
        scores[known_partners.partners_of_each(queries)] = -torch.inf
        scores[rows, targets] = target_scores
        before = (~(scores < target_scores[:, None])).sum(dim=1) - 1
        for k in ks:
            hits[k] += int((before < k).sum())
    return {k: hits[k] / max(len(both), 1) for k in ks}
