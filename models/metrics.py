"""Metrics of predicted probabilities.

All metrics take the same three arguments, so one bootstrap and one loop over slices serve them all:
labels [rows] 0 or 1, NaN = unknown and left out; scores [rows], higher = more likely; groups [rows], the
user of each row. A metric that is not defined, such as the AUC of one class, is NaN. A NaN among the scores
raises a ValueError.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, update_wrapper
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Int64s = NDArray[np.int64]
SMALLEST = 1e-7  # log_loss keeps probabilities this far from 0 and 1, which is float32's precision
GROUPS_PER_ROW = 16  # numbers of groups below this many times the rows are counted in a table


@dataclass(frozen=True)
class ScoredRows:
    """Rows with a known label. Metrics of the same rows share what takes long.

    y, s  [rows] labels and scores
    g     [rows] numbers of users, from 0
    """

    y: Floats
    s: Floats
    g: Int64s

    @classmethod
    def of_known_labels(cls, labels: ArrayLike, scores: ArrayLike, groups: ArrayLike | None) -> Self:
        """raises ValueError if a score is NaN"""
        y, s = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
        if np.isnan(s).any():
            raise ValueError("a score is NaN")
        known = ~np.isnan(y)
        g = np.zeros(len(y), dtype=np.int64) if groups is None else np.asarray(groups)
        return cls(y[known], s[known], _number_groups(g[known]))

    @cached_property
    def users(self) -> int:
        return int(self.g.max()) + 1 if len(self.g) else 0

    @cached_property
    def auc_per_user(self) -> Floats:
        """The AUC [users] of each user, NaN if the user has one class. Ties count half. One sort, no loop."""
        order = np.lexsort((self.s, self.g))
        y, s, g = self.y[order], self.s[order], self.g[order]
        new = np.ones(len(g), dtype=bool)
        new[1:] = (g[1:] != g[:-1]) | (s[1:] != s[:-1])
        tie = np.cumsum(new) - 1  # rows of one user with one score
        owner = g[new]
        positive, negative = np.bincount(tie, y), np.bincount(tie, 1 - y)
        positives, negatives = (np.bincount(owner, counts, self.users) for counts in (positive, negative))
        below = np.cumsum(negative) - negative - (np.cumsum(negatives) - negatives)[owner]
        wins = np.bincount(owner, positive * (below + negative / 2), self.users)
        pairs = positives * negatives
        aucs = np.full(self.users, np.nan)
        np.divide(wins, pairs, out=aucs, where=pairs > 0)
        return aucs


def _number_groups(groups: NDArray[Any]) -> Int64s:
    """The number of each row's group [rows] among the sorted groups, from 0."""
    is_small = (
        groups.dtype.kind in "iu" and len(groups) and groups.min() >= 0 and groups.max() < GROUPS_PER_ROW * len(groups)
    )
    if not is_small:
        return np.unique(groups, return_inverse=True)[1].astype(np.int64)
    occurs = np.zeros(int(groups.max()) + 1, bool)  # a table instead of a sort
    occurs[groups] = True
    numbers: Int64s = (np.cumsum(occurs) - 1)[groups]
    return numbers


class UserSums(NamedTuple):
    """A metric as the ratio of two sums over users, so that a round of the bootstrap need not read the rows.

    top, bottom  [users]
    limit        the metric's largest possible value
    """

    top: NDArray[Any]
    bottom: NDArray[Any]
    limit: float = math.inf

    @property
    def value(self) -> float:
        """The metric."""
        return float(self.top.sum() / self.bottom.sum()) if self.bottom.sum() > 0 else math.nan


class Metric:
    """A metric as the module's docstring describes it.

    sum_by_user  makes its sums
    """

    def __init__(self, sum_by_user: Callable[[ScoredRows], UserSums]) -> None:
        self.sum_by_user = sum_by_user
        update_wrapper(self, sum_by_user)

    def __call__(self, labels: ArrayLike, scores: ArrayLike, groups: ArrayLike | None = None) -> float:
        """The metric."""
        return self.sum_by_user(ScoredRows.of_known_labels(labels, scores, groups)).value


@Metric
def auc(rows: ScoredRows) -> UserSums:
    """Chance that a positive is scored above a negative, ties counting half.

    Groups matter to the bootstrap alone. There, a user drawn again changes the AUC by the user's part in it: that is
    exact to first order (Obuchowski 1997, Biometrics 53, clustered ROC data). A round without a
    positive counts, too.
    """
    positives, negatives, users = rows.y.sum(), len(rows.y) - rows.y.sum(), rows.users
    if not positives or not negatives:
        return UserSums(np.zeros(users), np.zeros(users))
    order = np.argsort(rows.s, kind="stable")
    y, s, g = rows.y[order], rows.s[order], rows.g[order]
    tie = np.cumsum(np.diff(s, prepend=s[:1]) > 0)
    positive, negative = np.bincount(tie, y), np.bincount(tie, 1 - y)
    wins = (np.cumsum(negative) - negative / 2) / negatives  # of a positive against all negatives
    losses = 1 - (np.cumsum(positive) - positive / 2) / positives  # of a negative against all positives
    value = positive @ wins / positives
    parts = np.where(y > 0, (wins[tie] - value) / positives, (losses[tie] - value) / negatives)
    share = np.full(users, 1 / users)
    return UserSums(value * share + np.bincount(g, parts, users), share, limit=1)


@Metric
def uauc(rows: ScoredRows) -> UserSums:
    """Mean AUC of the users, over users who have both classes."""
    return UserSums(np.nan_to_num(rows.auc_per_user), np.isfinite(rows.auc_per_user))


@Metric
def gauc(rows: ScoredRows) -> UserSums:
    """Mean AUC of the users, each weighted by the user's rows (impressions)."""
    weights = np.bincount(rows.g, minlength=rows.users) * np.isfinite(rows.auc_per_user)
    return UserSums(np.nan_to_num(rows.auc_per_user) * weights, weights)


@Metric
def log_loss(rows: ScoredRows) -> UserSums:
    """Mean binary cross-entropy in nats; the scores are probabilities."""
    p = np.clip(rows.s, SMALLEST, 1 - SMALLEST)
    losses = -(rows.y * np.log(p) + (1 - rows.y) * np.log(1 - p))
    return UserSums(np.bincount(rows.g, losses), np.bincount(rows.g))


@Metric
def calibration(rows: ScoredRows) -> UserSums:
    """Predicted positives over observed positives: 1 is right, above 1 promises too much; NaN without positives."""
    return UserSums(np.bincount(rows.g, rows.s), np.bincount(rows.g, rows.y))
