"""Lists of events by type and batches in parts give the same as one list and one batch."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch

from models.ranker import PRESETS, Histories, predict, search_histories
from models.ranker.batch import build_batch, single_part
from models.ranker.design import Attention
from tests.models.ranker.designs import EVERYTHING, ROWS, build_ranker, build_rows, make_log, train_ranker, vectors


def test_a_list_holds_the_events_that_a_log_of_its_type_alone_would_give() -> None:
    events = make_log()
    both = build_rows(replace(EVERYTHING, lists=((1, 3), (0, 6))), events)
    for kind, columns in ((1, slice(0, 3)), (0, slice(3, 9))):
        of_kind = {name: values[events["kind"] == kind] for name, values in events.items()}
        alone = build_rows(replace(EVERYTHING, k=columns.stop - columns.start), of_kind)
        for name in ("topk", "sims", "seconds"):
            assert np.array_equal(getattr(both, name)[:, columns], getattr(alone, name)), name
        assert both.kinds is not None
        assert (both.kinds[:, columns][both.topk[:, columns] >= 0] == kind).all()
    assert (both.topk >= 0).any(axis=0).all()


@pytest.mark.parametrize("lists", [(), ((1, 3), (0, 6))])
def test_the_latest_events_are_a_list_beside_those_that_the_search_finds(lists: tuple[tuple[int, int], ...]) -> None:
    design, events = replace(EVERYTHING, lists=lists), make_log()
    both, searched = build_rows(replace(design, latest=5), events), build_rows(design, events)
    latest = build_rows(replace(EVERYTHING, search="latest", k=5), events)
    for name in ("topk", "sims", "seconds", "kinds", "events_after"):
        parts = [getattr(rows, name) for rows in (searched, latest)]
        assert np.array_equal(getattr(both, name), np.concatenate(parts, axis=1)), name


def test_rows_with_another_number_of_events_are_refused() -> None:
    rows = build_rows(PRESETS["din"], make_log())
    with pytest.raises(ValueError, match="50 events, but the design reads 8"):
        predict(build_ranker(replace(PRESETS["din"], k=8)), rows)


def test_lists_need_types_of_events() -> None:
    design, zero = replace(EVERYTHING, lists=((1, 3),)), np.zeros(1, np.int64)
    with pytest.raises(ValueError, match="distinguish types of events"):
        search_histories(design, Histories.from_arrays(zero, zero, zero, 1), zero, zero, zero, vectors=vectors())


@pytest.mark.parametrize("attention", get_args(Attention))
def test_rows_in_parts_with_less_padding_get_the_same_scores_as_in_one_part(attention: Attention) -> None:
    design = replace(EVERYTHING, attention=attention, lists=((1, 30), (0, 40)))
    rows = build_rows(design, make_log())
    model = train_ranker(design, rows)
    batch, order = build_batch(rows, np.arange(ROWS), design.ks, model.known.device)
    assert len(batch.parts) > 1
    assert sorted(order) == list(range(ROWS))
    is_read = torch.zeros_like(batch.topk, dtype=torch.bool)
    for part in batch.parts:
        for columns in part.columns:
            is_read[part.rows, columns] = True
    assert (batch.topk[~is_read] == -1).all()
    holes = replace(rows, topk=np.where(np.arange(70) % 3 == 0, -1, rows.topk))
    batch, order = build_batch(holes, np.arange(ROWS), design.ks, model.known.device)
    with torch.no_grad():
        assert torch.allclose(model(batch), model(replace(batch, parts=single_part(ROWS, design.ks))), atol=1e-5)
    batch, order = build_batch(rows, np.arange(ROWS), design.ks, model.known.device)
    assert (~is_read).sum() > is_read.sum() / 4
    unsplit = replace(batch, parts=single_part(ROWS, design.ks))
    with torch.no_grad():
        assert torch.allclose(model(batch), model(unsplit), atol=1e-5)
        assert torch.allclose(model.attention_weights(batch), model.attention_weights(unsplit), atol=1e-6)
