"""Metrics of click prediction and their bootstrap intervals.

All metrics take the same four arguments, so that one bootstrap and one loop over slices serve them all:
labels [rows] 0 or 1, NaN = unknown and left out; scores [rows], higher = more likely; groups [rows], the
user of each row; weights [rows] >= 0, how often the row counts, the same for all rows of a user (the
bootstrap draws users). A metric that is not defined, such as the AUC of one class, is NaN. NaN among the
scores is a ValueError.
"""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SMALLEST = 1e-7  # log_loss keeps probabilities this far from 0 and 1, which is float32's precision


class Metric(Protocol):
    """What the module's docstring says of all metrics."""

    def __call__(
        self,
        labels: ArrayLike,
        scores: ArrayLike,
        groups: ArrayLike | None = None,
        weights: ArrayLike | None = None,
    ) -> float: ...


def auc(
    labels: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> float:
    """Chance that a positive is scored above a negative, ties counting half. Groups do not matter."""
    y, s, w, _ = _known(labels, scores, weights, None)
    return _mean(_auc_per_user(y, s, w, np.zeros(len(y), dtype=np.int64)), np.ones(min(len(y), 1)))


def uauc(
    labels: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> float:
    """Mean of the users' own AUCs, over the users who have both classes."""
    y, s, w, g = _known(labels, scores, weights, groups)
    return _mean(_auc_per_user(y, s, w, g), np.bincount(g, w) / np.bincount(g))


def gauc(
    labels: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> float:
    """Mean of the users' own AUCs, each weighted by the user's rows (impressions)."""
    y, s, w, g = _known(labels, scores, weights, groups)
    return _mean(_auc_per_user(y, s, w, g), np.bincount(g, w))


def log_loss(
    labels: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> float:
    """Mean binary cross-entropy of scores that are probabilities, in nats."""
    y, s, w, _ = _known(labels, scores, weights, None)
    p = np.clip(s, SMALLEST, 1 - SMALLEST)
    return _mean(-(y * np.log(p) + (1 - y) * np.log(1 - p)), w)


def calibration(
    labels: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> float:
    """Predicted over observed positives: 1 is right, above 1 promises too much; NaN without positives."""
    y, s, w, _ = _known(labels, scores, weights, None)
    observed = float(w @ y)
    return float(w @ s) / observed if observed > 0 else float("nan")


def bootstrap(
    metric: Metric, labels: ArrayLike, scores: ArrayLike, groups: ArrayLike, *, seed: int, rounds: int = 200
) -> tuple[float, float]:
    """95 % interval (low, high) of a metric if other users of the same kind had come.

    Users are drawn with replacement, each with all rows. NaN, NaN where the metric is not defined.
    """
    y, s, _, g = _known(labels, scores, None, groups)
    return _interval([metric(y, s, g, weights) for weights in _draws(g, seed, rounds)])


def bootstrap_difference(
    labels: ArrayLike,
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    groups: ArrayLike,
    *,
    seed: int,
    rounds: int = 200,
    metric: Metric = auc,
) -> tuple[float, float]:
    """95 % interval (low, high) of metric(a) - metric(b), the same users drawn for both."""
    y, a, _, g = _known(labels, scores_a, None, groups)
    _, b, _, _ = _known(labels, scores_b, None, groups)
    return _interval([metric(y, a, g, w) - metric(y, b, g, w) for w in _draws(g, seed, rounds)])


def _draws(groups: Ints, seed: int, rounds: int) -> Iterator[Floats]:
    """For each round, how often each row's user was drawn: weights [rows]."""
    users = int(groups.max()) + 1 if len(groups) else 0
    rng = np.random.default_rng(seed)
    for _ in range(rounds if users else 0):
        drawn = rng.integers(0, users, users)
        yield np.bincount(drawn, minlength=users).astype(np.float64)[groups]


def _interval(values: list[float]) -> tuple[float, float]:
    defined = [value for value in values if not np.isnan(value)]
    if not defined:
        return float("nan"), float("nan")
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)


def _known(
    labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None, groups: ArrayLike | None
) -> tuple[Floats, Floats, Floats, Ints]:
    """Labels, scores, weights and user numbers from 0 of the rows whose label is known."""
    y, s = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if np.isnan(s).any():
        raise ValueError("a score is NaN")
    known = ~np.isnan(y)
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64)
    g = np.zeros(len(y), dtype=np.int64) if groups is None else np.asarray(groups)
    numbers = np.unique(g[known], return_inverse=True)[1].astype(np.int64)
    return y[known], s[known], w[known], numbers


def _auc_per_user(y: Floats, s: Floats, w: Floats, g: Ints) -> Floats:
    """The AUC [users] inside each group, NaN for one class: one sort, no loop (ties count half)."""
    users = int(g.max()) + 1 if len(g) else 0
    order = np.lexsort((s, g))
    y, s, w, g = y[order], s[order], w[order], g[order]
    new = np.ones(len(g), dtype=bool)
    new[1:] = (g[1:] != g[:-1]) | (s[1:] != s[:-1])
    tie = np.cumsum(new) - 1  # rows of one user with one score
    owner = g[new]
    positive, negative = np.bincount(tie, w * y), np.bincount(tie, w * (1 - y))
    positives, negatives = np.bincount(owner, positive, users), np.bincount(owner, negative, users)
    below = np.cumsum(negative) - negative - (np.cumsum(negatives) - negatives)[owner]
    wins = np.bincount(owner, positive * (below + negative / 2), users)
    pairs = positives * negatives
    aucs = np.full(users, np.nan)
    np.divide(wins, pairs, out=aucs, where=pairs > 0)
    return aucs


def _mean(values: Floats, weights: NDArray[Any]) -> float:
    """Weighted mean of the values that are defined."""
    weights = np.where(np.isnan(values), 0.0, weights)
    total = weights.sum()
    return float(np.nan_to_num(values) @ weights / total) if total > 0 else float("nan")
