"""In the end of a training, probabilities are made to fit the labels of the validation rows."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from scipy.special import expit
from scipy.stats import kendalltau

from models.metrics import calibration, log_loss
from models.ranker import predict
from models.ranker.design import Heads
from models.ranker.training_rows import TrainingRows
from models.ranker.validation import Validation, fit_line
from tests.models.ranker.designs import EVERYTHING, build_ranker, build_rows, make_log

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(-1, 1, 20_000)
LABELS = (RNG.random(20_000) < expit(LOGITS)).astype(np.float64)


@pytest.mark.parametrize(("scale", "shift"), [(1, 0), (2, 0.5), (0.5, -1), (1, 3)])
def test_the_line_undoes_how_logits_were_changed(scale: float, shift: float) -> None:
    line = fit_line(expit(LOGITS * scale + shift), LABELS)
    assert line == pytest.approx((1 / scale, -shift / scale), abs=0.06)


def test_rows_without_a_label_and_of_one_class_change_nothing() -> None:
    assert fit_line(expit(LOGITS), np.ones_like(LABELS)) == (1, 0)
    assert fit_line(expit(LOGITS), np.full_like(LABELS, np.nan)) == (1, 0)
    is_known = np.arange(len(LABELS)) < 5000
    known = fit_line(expit(LOGITS[is_known]), LABELS[is_known])
    assert fit_line(expit(LOGITS), np.where(is_known, LABELS, np.nan)) == pytest.approx(known)


def test_a_few_rows_change_little_and_the_order_of_rows_never() -> None:
    scale, shift = fit_line(expit(LOGITS[:4]), np.array([1.0, 0, 1, 0]))
    assert abs(scale - 1) < 0.3
    assert abs(shift) < 0.5
    assert fit_line(expit(-5 * LOGITS), LABELS)[0] > 0
    certain = np.where(LABELS == 1, 1.0, 0.0)  # a model that is right and certain
    assert np.isfinite(fit_line(certain, LABELS)).all()


@pytest.mark.parametrize("heads", get_args(Heads))
def test_probabilities_fit_the_rows_and_the_order_of_rows_stays(heads: Heads) -> None:
    design = replace(EVERYTHING, heads=heads)
    data, model = build_rows(design, make_log()), build_ranker(design)
    last = [
        module for module in model.head.modules() if isinstance(module, torch.nn.Linear) and module.out_features == 1
    ]
    with torch.no_grad():
        for layer in last:
            layer.weight.mul_(3)
            layer.bias.add_(2)
    before = predict(model, data)
    rows = TrainingRows(data, np.zeros(0, np.int64), np.arange(len(data)))
    Validation(rows, torch.device("cpu")).calibrate(model)
    after = predict(model, data)
    if heads == "entire_space":
        np.testing.assert_array_equal(after, before)
        return
    for task in range(2):
        labels = data.labels[:, task]
        assert calibration(labels, after[:, task]) == pytest.approx(1, abs=0.05)
        assert log_loss(labels, after[:, task]) < log_loss(labels, before[:, task])
        assert kendalltau(before[:, task], after[:, task]).statistic > 0.999
