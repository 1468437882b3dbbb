"""The metrics, against scikit-learn and a plain loop over users."""

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from models import bootstrap, metrics

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]
ALL = {
    "auc": metrics.auc,
    "uauc": metrics.uauc,
    "gauc": metrics.gauc,
    "log_loss": metrics.log_loss,
    "calibration": metrics.calibration,
}


@pytest.fixture(scope="module")
def rows() -> Rows:
    """Labels, probabilities with many ties, and users; some users have one class only."""
    rng = np.random.default_rng(5)
    users = rng.integers(0, 60, 900)
    scores = np.round(rng.random(900), 1)
    labels = (rng.random(900) < 0.2 + 0.4 * scores).astype(float)
    labels[users < 8] = 0.0
    return labels, scores, users


def aucs_by_loop(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """AUC and rows of each user who has both classes."""
    labels, scores, users = rows
    user_rows = [(labels[users == user], scores[users == user]) for user in np.unique(users)]
    both = [(y, s) for y, s in user_rows if 0 < y.mean() < 1]
    aucs = [reference.roc_auc_score(y, s) for y, s in both]
    return np.array(aucs), np.array([len(y) for y, _ in both])


def test_auc_equals_that_of_scikit_learn_ties_included(rows: Rows) -> None:
    assert metrics.auc(*rows) == pytest.approx(reference.roc_auc_score(*rows[:2]))


def test_auc_of_one_class_is_not_defined() -> None:
    assert np.isnan(metrics.auc([1, 1], [0.2, 0.3]))
    assert np.isnan(metrics.auc([], []))


def test_uauc_is_the_mean_over_users_with_both_classes(rows: Rows) -> None:
    assert metrics.uauc(*rows) == pytest.approx(aucs_by_loop(rows)[0].mean())


def test_gauc_weights_users_by_their_impressions(rows: Rows) -> None:
    aucs, sizes = aucs_by_loop(rows)
    assert metrics.gauc(*rows) == pytest.approx(np.average(aucs, weights=sizes))


def test_log_loss_equals_that_of_scikit_learn(rows: Rows) -> None:
    labels, scores, _ = rows
    scores = np.clip(scores, 0.05, 0.95)
    assert metrics.log_loss(labels, scores) == pytest.approx(reference.log_loss(labels, scores))


def test_log_loss_stays_finite_when_a_certain_prediction_is_wrong() -> None:
    assert np.isfinite(metrics.log_loss([1], [0.0]))


def test_calibration_is_predicted_over_observed() -> None:
    assert metrics.calibration([1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5]) == pytest.approx(2.0)


@pytest.mark.parametrize("metric", ALL.values())
def test_an_unknown_label_counts_nowhere(metric: metrics.Metric, rows: Rows) -> None:
    labels, scores, users = rows
    hidden = np.where(np.arange(900) % 7 == 0, np.nan, labels)
    known = np.isfinite(hidden)
    assert metric(hidden, scores, users) == pytest.approx(metric(labels[known], scores[known], users[known]))


def test_users_may_be_text_and_rows_may_come_in_any_order(rows: Rows) -> None:
    order = np.random.default_rng(0).permutation(900)
    names = np.char.add("user ", rows[2].astype(str))
    assert metrics.gauc(rows[0][order], rows[1][order], names[order]) == pytest.approx(metrics.gauc(*rows))


def test_a_score_that_is_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        metrics.auc([1, 0], [0.5, np.nan])


def interval(
    metric: metrics.Metric, labels: Any, scores: Any, users: Any, seed: int, rounds: int
) -> bootstrap.Interval:
    return bootstrap.measure({"it": metric}, labels, scores, users, seed=seed, rounds=rounds)["it"].interval


@pytest.mark.parametrize("metric", ALL.values(), ids=ALL)
def test_an_interval_is_that_of_users_drawn_again_with_all_their_rows(metric: metrics.Metric, rows: Rows) -> None:
    labels, scores, users = rows
    rng, of_user, values = np.random.default_rng(3), [np.flatnonzero(users == user) for user in np.unique(users)], []
    for _ in range(1000):
        user_rows = [of_user[number] for number in rng.integers(0, len(of_user), len(of_user))]
        groups = np.repeat(np.arange(len(user_rows)), list(map(len, user_rows)))
        drawn_rows = np.concatenate(user_rows)
        values.append(metric(labels[drawn_rows], scores[drawn_rows], groups))
    low, high = np.percentile(values, [2.5, 97.5])
    drawn = interval(metric, *rows, seed=3, rounds=1000)
    assert drawn == pytest.approx((low, high), abs=0.08 * (high - low))


def test_an_interval_does_not_depend_on_how_many_users_are_drawn_at_once(
    rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = interval(metrics.gauc, *rows, seed=0, rounds=500)
    monkeypatch.setattr(bootstrap, "DRAWS_AT_ONCE", 3500)
    assert interval(metrics.gauc, *rows, seed=0, rounds=500) == pytest.approx(expected, abs=0.01)


def test_a_bootstrap_interval_contains_the_metric_and_repeats_with_its_seed(rows: Rows) -> None:
    low, high = interval(metrics.auc, *rows, seed=1, rounds=100)
    assert low < metrics.auc(*rows) < high
    assert (low, high) == interval(metrics.auc, *rows, seed=1, rounds=100)
    assert (low, high) != interval(metrics.auc, *rows, seed=2, rounds=100)


def test_an_interval_of_an_auc_near_1_ends_at_1() -> None:
    labels, users = np.arange(60) % 2, np.arange(60) // 4
    scores = labels + np.where(np.arange(60) < 4, -1.5, 0) * labels
    low, high = interval(metrics.auc, labels, scores, users, seed=0, rounds=200)
    assert 0.5 < low < metrics.auc(labels, scores) < high <= 1


def test_a_bootstrap_interval_is_wider_when_the_rows_of_a_user_agree() -> None:
    rng = np.random.default_rng(2)
    users = np.repeat(np.arange(50), 20)
    labels = (rng.random(50) < 0.5).astype(float)[users]
    scores = labels * 0.3 + rng.normal(size=50)[users]
    by_user = interval(metrics.auc, labels, scores, users, seed=0, rounds=100)
    by_row = interval(metrics.auc, labels, scores, np.arange(1000), seed=0, rounds=100)
    assert by_user[1] - by_user[0] > 2 * (by_row[1] - by_row[0])


def test_the_difference_of_a_model_and_itself_is_zero(rows: Rows) -> None:
    labels, scores, users = rows
    same = bootstrap.measure_difference(ALL, labels, scores, scores, users, seed=0, rounds=20)
    assert same == dict.fromkeys(ALL, (0.0, (0.0, 0.0)))


def test_the_paired_interval_sees_a_gain_that_two_separate_intervals_cannot(rows: Rows) -> None:
    labels, scores, users = rows
    better = scores + 0.03 * labels
    gain = bootstrap.measure_difference({"auc": metrics.auc}, labels, better, scores, users, seed=0, rounds=100)
    low, _ = gain["auc"].interval
    old, new = (interval(metrics.auc, labels, s, users, seed=0, rounds=100) for s in (scores, better))
    assert low > 0
    assert new[0] < old[1]  # the separate intervals overlap


def test_an_interval_of_an_undefined_metric_is_not_defined() -> None:
    assert np.isnan(interval(metrics.auc, [1, 1], [0.1, 0.2], [0, 1], seed=0, rounds=9)).all()
