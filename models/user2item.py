"""User2Item pairs: what users act on, and what is most like it in their own past.

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
ROWS_AT_ONCE = 4096  # bounds memory: with LAST items of 32 numbers 26 MB


def user2item(item_vectors: Tensor, data: Positives, *, pairs_per_item: int) -> tuple[Int64s, Int64s, Floats]:
    """Pairs of items, each of which some row chose: its target with the most similar other item of its past.

    A pair scores its cosine, once for every row that chose it. It is kept if it is among the best
    pairs_per_item of either item. A row whose past holds nothing on the target's side (cosine above 0) has none.

    item_vectors  [items, dim] float32 of unit length
    returns       the smaller index [pairs], the larger one [pairs], in their order, and the score [pairs] > 0
    """
    n, device = len(item_vectors), item_vectors.device
    chosen, cosine = [np.zeros(0, np.int64)], [np.zeros(0)]
    for start in range(0, len(data), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        history = torch.from_numpy(data.history(rows)).long().to(device)
        target = torch.from_numpy(data.target[rows]).to(device).unsqueeze(1)
        scores = torch.bmm(item_vectors[history.clamp(min=0)], item_vectors[target].mT).squeeze(2)
        best, at = scores.masked_fill((history == PADDING) | (history == target), -torch.inf).max(dim=1)
        other = history.gather(1, at.unsqueeze(1))
        pair = torch.minimum(target, other) * n + torch.maximum(target, other)
        rounded = best.double().cpu().numpy().round(6)  # the last digits depend on the processor
        chosen.append(pair.squeeze(1).cpu().numpy()[rounded > 0])
        cosine.append(rounded[rounded > 0])
    pairs, first, times = np.unique(np.concatenate(chosen), return_index=True, return_counts=True)
    a, b, score = pairs // n, pairs % n, np.concatenate(cosine)[first] * times
    kept = _among_best(a, b, score, pairs_per_item)
    return a[kept], b[kept], score[kept]


def _among_best(a: Int64s, b: Int64s, score: Floats, k: int) -> NDArray[np.bool_]:
    """Which pairs are among the k best of a or of b; ties by the smaller other item."""
    item, other, both = np.concatenate([a, b]), np.concatenate([b, a]), np.tile(score, 2)
    order = np.lexsort((other, -both, item))
    rank = np.arange(len(order)) - np.searchsorted(item[order], item[order])
    kept = np.zeros(len(a), bool)
    kept[order[rank < k] % max(len(a), 1)] = True
    return kept
