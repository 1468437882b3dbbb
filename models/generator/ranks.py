"""Where the items that a user really chose stand among all items, and the metrics of these ranks."""

import numpy as np
from numpy.typing import NDArray

from models.ranker.histories import Int64s, Ints

TARGETS_AT_ONCE = 256  # limits memory: to 256 copies of a row of scores


def rank_targets(scores: NDArray[np.floating], targets: tuple[Ints, Ints], seen: tuple[Ints, Ints]) -> Int64s:
    """Rank each target among the items that its user has not seen. Ties count against the target.

    scores   [rows, items], higher is better, -inf if the item is not proposed at all
    targets  row [targets] and item [targets]
    seen     row [pairs] and item [pairs], items that take no place
    returns  [targets] int64, 1 is the best: the number of unseen items that score as high as the target, or higher
    raises   ValueError if a score is NaN, or a target is a seen item
    """
    if np.isnan(scores).any():
        raise ValueError("a score is NaN")
    is_ranked = np.ones(scores.shape, bool)
    is_ranked[seen] = False
    if not is_ranked[targets].all():
        raise ValueError("a target is an item that its user has seen")
    ranks = np.zeros(len(targets[0]), np.int64)
    for start in range(0, len(ranks), TARGETS_AT_ONCE):
        rows, items = (column[start : start + TARGETS_AT_ONCE] for column in targets)
        is_as_good = scores[rows] >= scores[rows, items][:, None]
        ranks[start : start + TARGETS_AT_ONCE] = (is_as_good & is_ranked[rows]).sum(axis=1)
    return ranks


def recall_at(k: int, ranks: Int64s, rows: Ints) -> float:
    """Mean over the rows of the share of a row's targets that are among its best k; at most k of them can be.

    With one target a row, this is the hit rate.

    ranks    [targets], from 1
    rows     [targets], the row of each target
    returns  NaN if there are no targets
    """
    return _mean_share((ranks <= k).astype(np.float64), np.ones(k), rows)


def ndcg_at(k: int, ranks: Int64s, rows: Ints) -> float:
    """Mean over the rows of the discounted gain of a row's best k, divided by the highest gain possible.

    ranks, rows  as for `recall_at`
    """
    gains = np.where(ranks <= k, 1 / np.log2(ranks + 1), 0)
    return _mean_share(gains, 1 / np.log2(np.arange(k) + 2), rows)


def _mean_share(gains: NDArray[np.float64], best_gains: NDArray[np.float64], rows: Ints) -> float:
    """Mean over the rows of their sum of gains, divided by the sum of the best gains that so many targets can have."""
    _, row, counts = np.unique(rows, return_inverse=True, return_counts=True)
    if not len(counts):
        return float("nan")
    highest = np.cumsum(best_gains)[np.minimum(counts, len(best_gains)) - 1]
    return float((np.bincount(row, gains) / highest).mean())
