"""Swing: how close two items are, from the pairs of users who acted on both."""

import numpy as np
from numpy.typing import NDArray


def score_items(
    items: NDArray[np.int32], lengths: NDArray[np.int64], weights: NDArray[np.float64], alpha: float
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Score every item that at least two of the users acted on.

    score(j) = sum over pairs of users u < v who both acted on j of w_u w_v / (alpha + |I_u and I_v|).
    If all the users acted on an item i, this is Swing's score(i, j).

    items    [entries] the users' items, one user after the other; no user has an item twice
    lengths  [users] number of items of each user
    weights  [users] w_u
    alpha    smoothing
    returns  items [scored], ascending, and their scores [scored], rounded to 12 digits, so that equal sums are ties
    source   Yang et al., Large Scale Product Graph Construction for Recommendation (arXiv 2010.05525)
    """
    distinct, item, counts = np.unique(items, return_inverse=True, return_counts=True)
    is_shared = counts > 1
    column = np.cumsum(is_shared) - 1
    user = np.repeat(np.arange(len(lengths)), lengths)
    kept = is_shared[item]
    acted = np.zeros((len(lengths), int(is_shared.sum())))
    acted[user[kept], column[item[kept]]] = 1.0
    pairs = np.triu(np.outer(weights, weights) / (alpha + acted @ acted.T), 1)
    return distinct[is_shared], np.round(((pairs @ acted) * acted).sum(axis=0), 12)


def top_places(items: NDArray[np.int32], scores: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """Indices [at most k] of the highest scores, the highest first; ties go to the smaller item."""
    return np.lexsort((items, -scores))[:k]
