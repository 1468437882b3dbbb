"""The teacher: what training asks for is partly what boosted trees predict, from the training rows alone."""

from dataclasses import replace

import numpy as np
import pytest

from models.ranker import Design, Samples, predict
from models.ranker.teacher import MIN_LABELS, add_targets
from models.ranker.training import fit_rows
from models.ranker.training_rows import TrainingRows
from tests.models.ranker.designs import EVERYTHING, ROWS, build_ranker, build_rows, make_log

TRAIN, OTHERS = np.arange(240), np.arange(240, ROWS)


def rows_with_a_rate(seed: int = 3) -> Samples:
    """Rows whose first rate says how likely the click is. A purchase is unknown in every second row."""
    rows, rng = build_rows(EVERYTHING, make_log()), np.random.default_rng(seed)
    assert rows.rates is not None
    odds = rng.normal(0, 3, ROWS)
    labels = np.stack([rng.random(ROWS) < 1 / (1 + np.exp(-odds)), rng.random(ROWS) < 0.5], axis=1).astype(np.float32)
    labels[::2, 1] = np.nan
    rates = rows.rates.copy()
    rates[:, 0] = odds
    return replace(rows, rates=rates.astype(np.float32), labels=labels)


def test_targets_are_between_the_label_and_what_the_trees_predict_of_the_rates() -> None:
    rows = rows_with_a_rate()
    assert rows.rates is not None
    half, all_trees = (add_targets(rows, TRAIN, share, seed=0).targets for share in (0.5, 1.0))
    assert half is not None
    assert all_trees is not None
    np.testing.assert_allclose(half[TRAIN], (rows.labels[TRAIN] + all_trees[TRAIN]) / 2, atol=1e-6)
    odds = rows.rates[TRAIN, 0]
    assert all_trees[TRAIN][odds > 3, 0].mean() > 0.7
    assert all_trees[TRAIN][odds < -3, 0].mean() < 0.3
    assert np.array_equal(np.isnan(half), np.isnan(rows.labels))  # an unknown label stays unknown


def test_the_trees_see_no_row_that_is_not_trained_on() -> None:
    rows = rows_with_a_rate()
    changed = rows.labels.copy()
    changed[OTHERS] = 1 - changed[OTHERS]
    one, other = (add_targets(replace(rows, labels=labels), TRAIN, 0.5, 0).targets for labels in (rows.labels, changed))
    assert one is not None
    assert other is not None
    assert np.array_equal(one[TRAIN], other[TRAIN], equal_nan=True)
    assert np.array_equal(one[OTHERS], rows.labels[OTHERS], equal_nan=True)


def test_a_task_with_few_labels_of_a_class_has_no_teacher() -> None:
    rows = rows_with_a_rate()
    labels = rows.labels.copy()
    labels[:, 1] = np.arange(ROWS) < MIN_LABELS - 1
    targets = add_targets(replace(rows, labels=labels), TRAIN, 0.5, 0).targets
    assert targets is not None
    assert np.array_equal(targets[:, 1], labels[:, 1])
    assert not np.array_equal(targets[:, 0], labels[:, 0])


def test_training_asks_for_the_targets_and_measures_by_the_labels() -> None:
    rows = rows_with_a_rate()
    targets = np.where(np.isnan(rows.labels), np.nan, 0.9).astype(np.float32)
    model = build_ranker(EVERYTHING)
    curve = fit_rows(
        model, TrainingRows(replace(rows, targets=targets), TRAIN, OTHERS), seed=0, epochs=30, batch_size=32, lr=1e-2,
        patience=30,
    )  # fmt: skip
    assert curve[-1].train_loss < 2 * 0.34  # of each task; the entropy of 0.9 is 0.325. Labels have no such loss
    assert curve[-1].valid_loss > 0.4
    assert predict(model, rows).shape == (ROWS, 2)


def test_rows_without_rates_are_refused() -> None:
    with pytest.raises(ValueError, match="add rates to the extras"):
        add_targets(build_rows(Design(), make_log()), TRAIN, 0.5, 0)
