"""Lists of events by type, and batches in parts: each finds and tells what one list, one batch would."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch

from models.ranker import PRESETS, Histories, find, predict
from models.ranker.batch import batch_of, whole
from models.ranker.design import Attention
from tests.models.ranker.designs import EVERYTHING, ROWS, log, ranker, rows_of, trained, vectors


def test_a_list_holds_the_events_that_a_log_of_its_type_alone_would_give() -> None:
    events = log()
    both = rows_of(replace(EVERYTHING, lists=((1, 3), (0, 6))), events)
    for kind, columns in ((1, slice(0, 3)), (0, slice(3, 9))):
        own = {name: values[events["kind"] == kind] for name, values in events.items()}
        alone = rows_of(replace(EVERYTHING, k=columns.stop - columns.start), own)
        for name in ("topk", "sims", "seconds"):
            assert np.array_equal(getattr(both, name)[:, columns], getattr(alone, name)), name
        assert both.kinds is not None
        assert (both.kinds[:, columns][both.topk[:, columns] >= 0] == kind).all()
    assert (both.topk >= 0).any(axis=0).all()


def test_rows_of_another_number_of_events_are_refused() -> None:
    rows = rows_of(PRESETS["din"], log())
    with pytest.raises(ValueError, match="50 events, the design looks at 8"):
        predict(ranker(replace(PRESETS["din"], k=8)), rows)


def test_lists_need_types_of_events() -> None:
    design, none = replace(EVERYTHING, lists=((1, 3),)), np.zeros(1, np.int64)
    with pytest.raises(ValueError, match="tell types"):
        find(design, Histories.from_arrays(none, none, none, 1), none, none, none, vectors=vectors())


@pytest.mark.parametrize("attention", get_args(Attention))
def test_rows_in_parts_with_less_padding_are_scored_as_they_are_in_one(attention: Attention) -> None:
    design = replace(EVERYTHING, attention=attention, lists=((1, 30), (0, 40)))
    rows = rows_of(design, log())
    model = trained(design, rows)
    batch, order = batch_of(rows, np.arange(ROWS), design.ks, model.known.device)
    assert len(batch.parts) > 1
    assert sorted(order) == list(range(ROWS))
    held = torch.zeros_like(batch.topk, dtype=torch.bool)
    for part in batch.parts:
        for columns in part.columns:
            held[part.rows, columns] = True
    assert (batch.topk[~held] == -1).all()
    holes = replace(rows, topk=np.where(np.arange(70) % 3 == 0, -1, rows.topk))
    batch, order = batch_of(holes, np.arange(ROWS), design.ks, model.known.device)
    with torch.no_grad():
        assert torch.allclose(model(batch), model(replace(batch, parts=whole(ROWS, design.ks))), atol=1e-5)
    batch, order = batch_of(rows, np.arange(ROWS), design.ks, model.known.device)
    assert (~held).sum() > held.sum() / 4
    one = replace(batch, parts=whole(ROWS, design.ks))
    with torch.no_grad():
        assert torch.allclose(model(batch), model(one), atol=1e-5)
        assert torch.allclose(model.shares(batch), model.shares(one), atol=1e-6)
