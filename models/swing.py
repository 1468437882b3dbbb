"""Swing: how close two items are, from the pairs of users who acted on both."""

import numpy as np
from numpy.typing import NDArray


def swing(
    items: NDArray[np.int32], lengths: NDArray[np.int64], weights: NDArray[np.float64], alpha: float
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Score every item that at least two of the given users acted on.

    score(j) = sum over pairs of users u < v who both acted on j of w_u w_v / (alpha + |I_u and I_v|).
    Where all the users acted on an item i, this is Swing's score(i, j).

    items    [entries] the users' items, one user after the other, no item twice for a user
    lengths  [users] number of items of each user
    weights  [users] w_u
    returns  items [scored], ascending, and their scores [scored], to 12 digits, so that equal sums tie
    source   Yang et al., Large Scale Product Graph Construction for Recommendation (arXiv 2010.05525)
    """
    found, column, counts = np.unique(items, return_inverse=True, return_counts=True)
    shared = counts > 1
    place = np.cumsum(shared) - 1
    user = np.repeat(np.arange(len(lengths)), lengths)
    kept = shared[column]
    acted = np.zeros((len(lengths), int(shared.sum())))
    acted[user[kept], place[column[kept]]] = 1.0
    pairs = np.triu(np.outer(weights, weights) / (alpha + acted @ acted.T), 1)
    return found[shared], np.round(((pairs @ acted) * acted).sum(axis=0), 12)


def top(items: NDArray[np.int32], scores: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """Places of the k highest scores, ties by the smaller item: [at most k]."""
    return np.lexsort((items, -scores))[:k]
