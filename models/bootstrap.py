"""Metrics with 95 % intervals: the Poisson bootstrap on sums of users."""

import math
from collections.abc import Iterator, Mapping
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from models.metrics import Floats, Metric, ScoredRows, UserSums

Interval = tuple[float, float]
DRAWS_AT_ONCE = 1 << 21  # numbers of times that users count, in all rounds: to limit memory


class Measured(NamedTuple):
    """A value and its 95 % interval (low, high) for another sample of users like these. NaN if it is not defined.

    For the interval, users are drawn again, each with all rows.
    """

    value: float
    interval: Interval


def measure(
    metrics: Mapping[str, Metric], labels: ArrayLike, scores: ArrayLike, groups: ArrayLike, *, seed: int, rounds: int
) -> dict[str, Measured]:
    """Each metric with its interval."""
    rows = ScoredRows.of_known_labels(labels, scores, groups)
    sums = [metric.sum_by_user(rows) for metric in metrics.values()]
    drawn = _draw(sums, rows.users, seed, rounds)
    measured = [
        Measured(of_users.value, _interval(of_rounds)) for of_users, of_rounds in zip(sums, drawn.T, strict=True)
    ]
    return dict(zip(metrics, measured, strict=True))


def measure_difference(
    metrics: Mapping[str, Metric],
    labels: ArrayLike,
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    groups: ArrayLike,
    *,
    seed: int,
    rounds: int,
) -> dict[str, Measured]:
    """The metric of a minus the metric of b, with its interval: the same users are drawn for both."""
    values, drawn = [], []
    for scores in (scores_a, scores_b):
        rows = ScoredRows.of_known_labels(labels, scores, groups)
        sums = [metric.sum_by_user(rows) for metric in metrics.values()]
        values.append([of_users.value for of_users in sums])
        drawn.append(_draw(sums, rows.users, seed, rounds))  # the same seed draws the same users
    gains = drawn[0] - drawn[1]
    return {
        name: Measured(values[0][number] - values[1][number], _interval(gains[:, number]))
        for number, name in enumerate(metrics)
    }


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
