"""Metrics of predicted probabilities, and their bootstrap intervals.

All metrics take the same three arguments, so one bootstrap and one loop over slices serve them all:
labels [rows] 0 or 1, NaN = unknown and left out; scores [rows], higher = more likely; groups [rows], the
user of each row. A metric that is not defined, such as the AUC of one class, is NaN. A NaN among the scores
raises a ValueError.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import cache, update_wrapper
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Int64s = NDArray[np.int64]
Interval = tuple[float, float]
SMALLEST = 1e-7  # log_loss keeps probabilities this far from 0 and 1, which is float32's precision
DRAWS_AT_ONCE = 1 << 21  # numbers of times that users count, in all rounds: to limit memory


class UserSums(NamedTuple):
    """A metric as the ratio of two sums over users, so that a round of the bootstrap need not read the rows.

    top, bottom  [users]
    limit        the metric's largest possible value
    """

    top: NDArray[Any]
    bottom: NDArray[Any]
    limit: float = math.inf


class Metric:
    """A metric as the module's docstring describes it.

    sum_by_user  makes the sums of known labels y, scores s and user numbers g from 0
    """

    def __init__(self, sum_by_user: Callable[[Floats, Floats, Int64s], UserSums]) -> None:
        self.sum_by_user = sum_by_user
        update_wrapper(self, sum_by_user)

    def __call__(self, labels: ArrayLike, scores: ArrayLike, groups: ArrayLike | None = None) -> float:
        """The metric."""
        top, bottom, _ = self.sum_by_user(*_keep_known_labels(labels, scores, groups))
        return float(top.sum() / bottom.sum()) if bottom.sum() > 0 else math.nan


@Metric
def auc(y: Floats, s: Floats, g: Int64s) -> UserSums:
    """Chance that a positive is scored above a negative, ties counting half.

    Groups matter to the bootstrap alone. There, a user drawn again changes the AUC by the user's part in it: that is
    exact to first order (Obuchowski 1997, Biometrics 53, clustered ROC data). A round without a
    positive counts, too.
    """
    positives, negatives, users = y.sum(), len(y) - y.sum(), _count_users(g)
    if not positives or not negatives:
        return UserSums(np.zeros(users), np.zeros(users))
    order = np.argsort(s, kind="stable")
    y, s, g = y[order], s[order], g[order]
    tie = np.cumsum(np.diff(s, prepend=s[:1]) > 0)
    positive, negative = np.bincount(tie, y), np.bincount(tie, 1 - y)
    wins = (np.cumsum(negative) - negative / 2) / negatives  # of a positive against all negatives
    losses = 1 - (np.cumsum(positive) - positive / 2) / positives  # of a negative against all positives
    value = positive @ wins / positives
    parts = np.where(y > 0, (wins[tie] - value) / positives, (losses[tie] - value) / negatives)
    share = np.full(users, 1 / users)
    return UserSums(value * share + np.bincount(g, parts, users), share, limit=1)


@Metric
def uauc(y: Floats, s: Floats, g: Int64s) -> UserSums:
    """Mean AUC of the users, over users who have both classes."""
    aucs = _auc_per_user(y, s, g)
    return UserSums(np.nan_to_num(aucs), np.isfinite(aucs))


@Metric
def gauc(y: Floats, s: Floats, g: Int64s) -> UserSums:
    """Mean AUC of the users, each weighted by the user's rows (impressions)."""
    aucs = _auc_per_user(y, s, g)
    rows = np.bincount(g, minlength=len(aucs)) * np.isfinite(aucs)
    return UserSums(np.nan_to_num(aucs) * rows, rows)


@Metric
def log_loss(y: Floats, s: Floats, g: Int64s) -> UserSums:
    """Mean binary cross-entropy in nats; the scores are probabilities."""
    p = np.clip(s, SMALLEST, 1 - SMALLEST)
    return UserSums(np.bincount(g, -(y * np.log(p) + (1 - y) * np.log(1 - p))), np.bincount(g))


@Metric
def calibration(y: Floats, s: Floats, g: Int64s) -> UserSums:
    """Predicted positives over observed positives: 1 is right, above 1 promises too much; NaN without positives."""
    return UserSums(np.bincount(g, s), np.bincount(g, y))


def bootstrap(
    metrics: Mapping[str, Metric], labels: ArrayLike, scores: ArrayLike, groups: ArrayLike, *, seed: int, rounds: int
) -> dict[str, Interval]:
    """95 % interval (low, high) of each metric for another sample of users like these.

    Users are drawn again, each with all rows. (NaN, NaN) where the metric is not defined.
    """
    y, s, g = _keep_known_labels(labels, scores, groups)
    drawn = _draw([metric.sum_by_user(y, s, g) for metric in metrics.values()], _count_users(g), seed, rounds)
    return dict(zip(metrics, map(_interval, drawn.T), strict=True))


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
    # the same seed draws the same users
    drawn_a, drawn_b = (
        _draw([metric.sum_by_user(y, scores, g) for metric in metrics.values()], _count_users(g), seed, rounds)
        for scores in (a, b)
    )
    return dict(zip(metrics, map(_interval, (drawn_a - drawn_b).T), strict=True))


def _draw(sums: list[UserSums], users: int, seed: int, rounds: int) -> Floats:
    """Each metric in each round [rounds, metrics], with users drawn anew for each round but not for each metric."""
    tops, bottoms = np.zeros((2, rounds, len(sums)))
    start = 0
    for weights in _draw_users(users, seed, rounds):
        part = slice(start, start := start + weights.shape[1])
        tops += weights @ np.stack([user_sums.top[part] for user_sums in sums], axis=1)
        bottoms += weights @ np.stack([user_sums.bottom[part] for user_sums in sums], axis=1)
    drawn = np.full(tops.shape, np.nan)
    np.divide(tops, bottoms, out=drawn, where=bottoms > 0)
    clipped: Floats = np.clip(drawn, 0, [user_sums.limit for user_sums in sums])
    return clipped


def _draw_users(users: int, seed: int, rounds: int) -> Iterator[Floats]:
    """How often each user counts in each round, for some users at once: [rounds, those users].

    The numbers are of a Poisson distribution with mean 1. Unlike draws with replacement, one user's number does not
    depend on the others, so all users need never be in memory at once (Chamandy et al. 2012, Google).
    """
    rng = np.random.default_rng(seed)
    users_at_once = max(1, DRAWS_AT_ONCE // max(1, rounds))
    for start in range(0, users, users_at_once):
        size = rounds, min(users_at_once, users - start)
        yield _poisson_quantiles()[rng.integers(0, 1 << 16, size, np.uint16)]


@cache
def _poisson_quantiles() -> Floats:
    """2^16 quantiles of the Poisson distribution with mean 1: a look-up is ten times as fast as NumPy's draw."""
    chances = np.cumsum([math.exp(-1) / math.factorial(times) for times in range(10)])
    return np.searchsorted(chances, (np.arange(1 << 16) + 0.5) / (1 << 16)).astype(np.float64)


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
