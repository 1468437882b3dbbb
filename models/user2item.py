"""User2Item pairs: an item that a user acts on, and the most similar item of the user's history.

Source: QARM V2 (arXiv 2602.08559), section 1: for a clicked target, the most similar of the last 50 positives.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.ranker.gsu import PADDING
from models.ranker.histories import Int64s
from models.two_tower import Positives

Floats = NDArray[np.float64]
ROWS_AT_ONCE = 4096  # limits memory: to 26 MB for LAST items of 32 numbers


def find_user2item_pairs(
    item_vectors: Tensor, data: Positives, *, pairs_per_item: int
) -> tuple[Int64s, Int64s, Floats]:
    """Pair the target of each row with the most similar other item of the row's history.

    The score of a pair is its cosine times the number of rows that chose it. A pair is kept if it is among the best
    pairs_per_item of either item. A row without any item of a cosine above 0 in its history chooses no pair.

    item_vectors  [items, dim] float32 of unit length
    returns       sorted pairs: the smaller item index [pairs], the larger one [pairs], and the score [pairs] > 0
    """
    n, device = len(item_vectors), item_vectors.device
    chosen, cosine = [np.zeros(0, np.int64)], [np.zeros(0)]
    for start in range(0, len(data), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        history = torch.from_numpy(data.history(rows)).long().to(device)
        target = torch.from_numpy(data.target[rows]).to(device).unsqueeze(1)
        scores = torch.bmm(item_vectors[history.clamp(min=0)], item_vectors[target].mT).squeeze(2)
        best, place = scores.masked_fill((history == PADDING) | (history == target), -torch.inf).max(dim=1)
        other = history.gather(1, place.unsqueeze(1))
        pair = torch.minimum(target, other) * n + torch.maximum(target, other)
        rounded = best.double().cpu().numpy().round(6)  # the last digits depend on the processor
        chosen.append(pair.squeeze(1).cpu().numpy()[rounded > 0])
        cosine.append(rounded[rounded > 0])
    pairs, first, times = np.unique(np.concatenate(chosen), return_index=True, return_counts=True)
    a, b, score = pairs // n, pairs % n, np.concatenate(cosine)[first] * times
    kept = _are_among_best(a, b, score, pairs_per_item)
    return a[kept], b[kept], score[kept]


def _are_among_best(a: Int64s, b: Int64s, score: Floats, k: int) -> NDArray[np.bool_]:
    """Which pairs are among the k best of a or of b; ties go to the smaller other item."""
    item, other, scores = np.concatenate([a, b]), np.concatenate([b, a]), np.tile(score, 2)
    order = np.lexsort((other, -scores, item))
    rank = np.arange(len(order)) - np.searchsorted(item[order], item[order])
    kept = np.zeros(len(a), bool)
    kept[order[rank < k] % max(len(a), 1)] = True
    return kept
