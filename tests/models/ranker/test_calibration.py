"""In the end of a training, probabilities are made to fit the labels of the validation rows."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from scipy.special import expit

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
def test_a_model_of_any_heads_predicts_the_mean_click_of_the_rows(heads: Heads) -> None:
    design = replace(EVERYTHING, heads=heads)
    data, model = build_rows(design, make_log()), build_ranker(design)
    with torch.no_grad():
        model.head.transform_logits(torch.full((2,), 3.0), torch.tensor([2.0, 0.0]))
    before = predict(model, data)
    rows = TrainingRows(data, np.zeros(0, np.int64), np.arange(len(data)))
    Validation(rows, torch.device("cpu")).calibrate(model)
    after = predict(model, data)
    clicks = data.labels[:, 0]
    assert calibration(clicks, after[:, 0]) == pytest.approx(1, abs=0.02)
    assert log_loss(clicks, after[:, 0]) < log_loss(clicks, before[:, 0])
    assert (np.argsort(after[:, 0], kind="stable") == np.argsort(before[:, 0], kind="stable")).mean() > 0.9
