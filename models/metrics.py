"""Metrics of click prediction and their bootstrap intervals.

All metrics take the same three arguments, so that one bootstrap and one loop over slices serve them all:
labels [rows] 0 or 1, NaN = unknown and left out; scores [rows], higher = more likely; groups [rows], the
user of each row. A metric that is not defined, such as the AUC of one class, is NaN. NaN among the scores
is a ValueError.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import update_wrapper
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Drawn = Callable[[Floats], float]  # a metric if each user [users] came so often
Interval = tuple[float, float]
SMALLEST = 1e-7  # log_loss keeps probabilities this far from 0 and 1, which is float32's precision


class Metric:
    """What the module's docstring says of all metrics.

    prepare  of known labels, scores and numbers of users from 0: does once what does not depend on who is drawn, so
             that a round of the bootstrap sorts nothing
    """

    def __init__(self, prepare: Callable[[Floats, Floats, Ints], Drawn]) -> None:
        self.prepare = prepare
        update_wrapper(self, prepare)

    def __call__(
        self, labels: ArrayLike, scores: ArrayLike, groups: ArrayLike | None = None, drawn: ArrayLike | None = None
    ) -> float:
        """The metric, of users who came once, or as often as `drawn` [users, in the order of their names] says."""
        y, s, g = _known(labels, scores, groups)
        return self.prepare(y, s, g)(np.ones(_users(g)) if drawn is None else np.asarray(drawn, np.float64))


@Metric
def auc(y: Floats, s: Floats, g: Ints) -> Drawn:
    """Chance that a positive is scored above a negative, ties counting half. Groups do not matter."""
    order = np.argsort(s, kind="stable")
    y, s, g = y[order], s[order], g[order]
    tie = np.cumsum(np.diff(s, prepend=s[:1]) > 0)

    def value(drawn: Floats) -> float:
        times = drawn[g]
        positive, negative = np.bincount(tie, times * y), np.bincount(tie, times * (1 - y))
        below = np.cumsum(negative) - negative
        return _ratio(float(positive @ (below + negative / 2)), float(positive.sum() * negative.sum()))

    return value


@Metric
def uauc(y: Floats, s: Floats, g: Ints) -> Drawn:
    """Mean of the users' own AUCs, over the users who have both classes."""
    aucs = _auc_per_user(y, s, g)
    return _over_users(np.nan_to_num(aucs), np.isfinite(aucs))


@Metric
def gauc(y: Floats, s: Floats, g: Ints) -> Drawn:
    """Mean of the users' own AUCs, each weighted by the user's rows (impressions)."""
    aucs = _auc_per_user(y, s, g)
    rows = np.bincount(g, minlength=len(aucs)) * np.isfinite(aucs)
    return _over_users(np.nan_to_num(aucs) * rows, rows)


@Metric
def log_loss(y: Floats, s: Floats, g: Ints) -> Drawn:
    """Mean binary cross-entropy of scores that are probabilities, in nats."""
    p = np.clip(s, SMALLEST, 1 - SMALLEST)
    return _over_users(np.bincount(g, -(y * np.log(p) + (1 - y) * np.log(1 - p))), np.bincount(g))


@Metric
def calibration(y: Floats, s: Floats, g: Ints) -> Drawn:
    """Predicted over observed positives: 1 is right, above 1 promises too much; NaN without positives."""
    return _over_users(np.bincount(g, s), np.bincount(g, y))


def bootstrap(
    measures: Mapping[str, Metric], labels: ArrayLike, scores: ArrayLike, groups: ArrayLike, *, seed: int, rounds: int
) -> dict[str, Interval]:
    """95 % interval (low, high) of each metric if other users of the same kind had come.

    Users are drawn with replacement, each with all rows. NaN, NaN where the metric is not defined.
    """
    y, s, g = _known(labels, scores, groups)
    return _intervals({name: metric.prepare(y, s, g) for name, metric in measures.items()}, _users(g), seed, rounds)


def bootstrap_difference(
    measures: Mapping[str, Metric],
    labels: ArrayLike,
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    groups: ArrayLike,
    *,
    seed: int,
    rounds: int,
) -> dict[str, Interval]:
    """95 % interval (low, high) of each metric of a less that of b, the same users drawn for both."""
    y, a, g = _known(labels, scores_a, groups)
    _, b, _ = _known(labels, scores_b, groups)

    def less(metric: Metric) -> Drawn:
        one, other = metric.prepare(y, a, g), metric.prepare(y, b, g)
        return lambda drawn: one(drawn) - other(drawn)

    return _intervals({name: less(metric) for name, metric in measures.items()}, _users(g), seed, rounds)


def _intervals(measures: Mapping[str, Drawn], users: int, seed: int, rounds: int) -> dict[str, Interval]:
    values = np.array([[of(drawn) for of in measures.values()] for drawn in _draws(users, seed, rounds)])
    return {name: _interval(values[:, at] if len(values) else values) for at, name in enumerate(measures)}


def _draws(users: int, seed: int, rounds: int) -> Iterator[Floats]:
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


def _known(labels: ArrayLike, scores: ArrayLike, groups: ArrayLike | None) -> tuple[Floats, Floats, Ints]:
    """Labels, scores and user numbers from 0 of the rows whose label is known."""
    y, s = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if np.isnan(s).any():
        raise ValueError("a score is NaN")
    known = ~np.isnan(y)
    g = np.zeros(len(y), dtype=np.int64) if groups is None else np.asarray(groups)
    return y[known], s[known], np.unique(g[known], return_inverse=True)[1].astype(np.int64)


def _users(g: Ints) -> int:
    return int(g.max()) + 1 if len(g) else 0


def _auc_per_user(y: Floats, s: Floats, g: Ints) -> Floats:
    """The AUC [users] inside each group, NaN for one class: one sort, no loop (ties count half)."""
    users = _users(g)
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


def _over_users(top: NDArray[Any], bottom: NDArray[Any]) -> Drawn:
    """A ratio of sums over users."""
    return lambda drawn: _ratio(float(drawn @ top), float(drawn @ bottom))


def _ratio(top: float, bottom: float) -> float:
    return top / bottom if bottom > 0 else float("nan")
