"""Training with missing labels, and in bfloat16."""

from typing import get_args

import numpy as np
import pytest
import torch

from models.metrics import auc, log_loss
from models.ranker import Design, Ranker, fit, predict
from models.ranker.design import Heads
from tests.models.ranker.designs import EVERYTHING, build_ranker, build_rows, make_log, train_ranker


@pytest.mark.parametrize("heads", get_args(Heads))
@pytest.mark.parametrize("label", [np.nan, 0.0])
def test_clicks_are_learned_even_if_nobody_bought_anything(heads: Heads, label: float) -> None:
    design = Design("latest", k=8, extras=("rates",), heads=heads)
    rows = build_rows(design, make_log())
    rows.labels[:, 1] = label
    click, purchase = predict(train_ranker(design, rows), rows).T
    assert np.isfinite(purchase).all()
    assert auc(rows.labels[:, 0], click) > 0.8
    if label == 0:
        assert purchase.max() < 0.05


def test_training_in_bfloat16_ends_near_training_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = build_rows(EVERYTHING, make_log())
    models = list[Ranker]()
    for bf16 in (False, True):
        kind = torch.autocast("cpu", torch.bfloat16, enabled=bf16)
        monkeypatch.setattr("models.ranker.training.mixed_precision", lambda _, kind=kind: kind)
        model = build_ranker(EVERYTHING)
        fit(model, rows, seed=0, epochs=3, batch_size=64, lr=1e-2, valid_share=0.2, patience=3)
        models.append(model)
    full, short = (predict(model, rows) for model in models)
    assert not np.array_equal(full, short)
    rounded = torch.from_numpy(short).bfloat16().float().numpy()
    assert (short == rounded).mean() < 0.1  # the head computes in float32, otherwise many scores would be equal
    for weights in models[1].state_dict().values():
        assert weights.dtype != torch.bfloat16
        assert weights.isfinite().all()
    assert np.abs(full - short).mean() < 0.02
    for labels, a, b in zip(rows.labels.T, full.T, short.T, strict=True):
        assert log_loss(labels, b) == pytest.approx(log_loss(labels, a), rel=0.03)
