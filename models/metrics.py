"""Metrics of predicted probabilities, and their bootstrap intervals.

All metrics take the same three arguments, so one bootstrap and one loop over slices serve them all:
labels [rows] 0 or 1, NaN = unknown and left out; scores [rows], higher = more likely; groups [rows], the
user of each row. A metric that is not defined, such as the AUC of one class, is NaN. A NaN among the scores
raises a ValueError.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import update_wrapper
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Int64s = NDArray[np.int64]
WeightedMetric = Callable[[Floats], float]  # the metric, given how often each user [users] counts
Interval = tuple[float, float]
SMALLEST = 1e-7  # log_loss keeps probabilities this far from 0 and 1, which is float32's precision


class Metric:
    """A metric as the module's docstring describes it.

    prepare  from known labels y, scores s and user numbers g from 0: does everything that does not depend on how often
             users count, so a round of the bootstrap sorts nothing
    """

    def __init__(self, prepare: Callable[[Floats, Floats, Int64s], WeightedMetric]) -> None:
        self.prepare = prepare
        update_wrapper(self, prepare)

    def __call__(
        self, labels: ArrayLike, scores: ArrayLike, groups: ArrayLike | None = None, weights: ArrayLike | None = None
    ) -> float:
        """The metric. weights [users, in sorted order]: how often each user counts; once by default"""
        y, s, g = _keep_known_labels(labels, scores, groups)
        return self.prepare(y, s, g)(np.ones(_count_users(g)) if weights is None else np.asarray(weights, np.float64))


@Metric
def auc(y: Floats, s: Floats, g: Int64s) -> WeightedMetric:
    """Chance that a positive is scored above a negative, ties counting half. Groups do not matter."""
    order = np.argsort(s, kind="stable")
    y, s, g = y[order], s[order], g[order]
    tie = np.cumsum(np.diff(s, prepend=s[:1]) > 0)

    def compute(weights: Floats) -> float:
        times = weights[g]
        positive, negative = np.bincount(tie, times * y), np.bincount(tie, times * (1 - y))
        below = np.cumsum(negative) - negative
        return _divide(float(positive @ (below + negative / 2)), float(positive.sum() * negative.sum()))

    return compute


@Metric
def uauc(y: Floats, s: Floats, g: Int64s) -> WeightedMetric:
    """Mean AUC of the users, over users who have both classes."""
    aucs = _auc_per_user(y, s, g)
    return _ratio_over_users(np.nan_to_num(aucs), np.isfinite(aucs))


@Metric
def gauc(y: Floats, s: Floats, g: Int64s) -> WeightedMetric:
    """Mean AUC of the users, each weighted by the user's rows (impressions)."""
    aucs = _auc_per_user(y, s, g)
    rows = np.bincount(g, minlength=len(aucs)) * np.isfinite(aucs)
    return _ratio_over_users(np.nan_to_num(aucs) * rows, rows)


@Metric
def log_loss(y: Floats, s: Floats, g: Int64s) -> WeightedMetric:
    """Mean binary cross-entropy in nats; the scores are probabilities."""
    p = np.clip(s, SMALLEST, 1 - SMALLEST)
    return _ratio_over_users(np.bincount(g, -(y * np.log(p) + (1 - y) * np.log(1 - p))), np.bincount(g))


@Metric
def calibration(y: Floats, s: Floats, g: Int64s) -> WeightedMetric:
    """Predicted positives over observed positives: 1 is right, above 1 promises too much; NaN without positives."""
    return _ratio_over_users(np.bincount(g, s), np.bincount(g, y))


def bootstrap(
    metrics: Mapping[str, Metric], labels: ArrayLike, scores: ArrayLike, groups: ArrayLike, *, seed: int, rounds: int
) -> dict[str, Interval]:
    """95 % interval (low, high) of each metric for another sample of users like these.

    Users are drawn with replacement, each with all rows. (NaN, NaN) where the metric is not defined.
    """
    y, s, g = _keep_known_labels(labels, scores, groups)
    prepared = {name: metric.prepare(y, s, g) for name, metric in metrics.items()}
    return _compute_intervals(prepared, _count_users(g), seed, rounds)


def bootstrap_difference(
    metrics: Mapping[str, Metric],
    labels: ArrayLike,
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    groups: ArrayLike,
    *,
    seed: int,
    rounds: int,
) -> dict[str, Interval]:
    """95 % interval (low, high) of the metric of a minus the metric of b, with the same users drawn for both."""
    y, a, g = _keep_known_labels(labels, scores_a, groups)
    _, b, _ = _keep_known_labels(labels, scores_b, groups)

    def prepare_difference(metric: Metric) -> WeightedMetric:
        of_a, of_b = metric.prepare(y, a, g), metric.prepare(y, b, g)
        return lambda weights: of_a(weights) - of_b(weights)

    prepared = {name: prepare_difference(metric) for name, metric in metrics.items()}
    return _compute_intervals(prepared, _count_users(g), seed, rounds)


def _compute_intervals(
    metrics: Mapping[str, WeightedMetric], users: int, seed: int, rounds: int
) -> dict[str, Interval]:
    draws = _draw_users(users, seed, rounds)
    values = np.array([[compute(weights) for compute in metrics.values()] for weights in draws])
    return {name: _interval(values[:, column] if len(values) else values) for column, name in enumerate(metrics)}


def _draw_users(users: int, seed: int, rounds: int) -> Iterator[Floats]:
    """For each round, how often each user [users] was drawn."""
    rng = np.random.default_rng(seed)
    for _ in range(rounds if users else 0):
        yield np.bincount(rng.integers(0, users, users), minlength=users).astype(np.float64)


def _interval(values: Floats) -> Interval:
    defined = values[np.isfinite(values)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)


def _keep_known_labels(labels: ArrayLike, scores: ArrayLike, groups: ArrayLike | None) -> tuple[Floats, Floats, Int64s]:
    """Labels, scores and user numbers from 0 of the rows whose label is known."""
    y, s = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if np.isnan(s).any():
        raise ValueError("a score is NaN")
    known = ~np.isnan(y)
    g = np.zeros(len(y), dtype=np.int64) if groups is None else np.asarray(groups)
    return y[known], s[known], np.unique(g[known], return_inverse=True)[1].astype(np.int64)


def _count_users(g: Int64s) -> int:
    return int(g.max()) + 1 if len(g) else 0


def _auc_per_user(y: Floats, s: Floats, g: Int64s) -> Floats:
    """The AUC [users] of each group, NaN if it has one class. Ties count half. One sort, no loop."""
    users = _count_users(g)
    order = np.lexsort((s, g))
    y, s, g = y[order], s[order], g[order]
    new = np.ones(len(g), dtype=bool)
    new[1:] = (g[1:] != g[:-1]) | (s[1:] != s[:-1])
    tie = np.cumsum(new) - 1  # rows of one user with one score
    owner = g[new]
    positive, negative = np.bincount(tie, y), np.bincount(tie, 1 - y)
    positives, negatives = np.bincount(owner, positive, users), np.bincount(owner, negative, users)
    below = np.cumsum(negative) - negative - (np.cumsum(negatives) - negatives)[owner]
    wins = np.bincount(owner, positive * (below + negative / 2), users)
    pairs = positives * negatives
    aucs = np.full(users, np.nan)
    np.divide(wins, pairs, out=aucs, where=pairs > 0)
    return aucs


def _ratio_over_users(top: NDArray[Any], bottom: NDArray[Any]) -> WeightedMetric:
    """The ratio of two weighted sums over users."""
    return lambda weights: _divide(float(weights @ top), float(weights @ bottom))


def _divide(top: float, bottom: float) -> float:
    return top / bottom if bottom > 0 else float("nan")
