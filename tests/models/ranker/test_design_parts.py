"""Every part of a design counts: what it alone is told moves predictions."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from models.ranker import Design, Ranker, Samples, predict
from models.ranker.training import weigh
from tests.models.ranker.designs import ITEMS, log, ranker, rows_of, vectors

LISTS = ((1, 3), (0, 6))
LEAST = 1e-4  # what moves nothing gives the very same numbers
Change = Callable[[Ranker, Samples], Samples]  # of the model in place, or of the rows


def column(name: str) -> Change:
    """Numbers of that column other than they were, in all rows."""

    def change(_: Ranker, rows: Samples) -> Samples:
        values = getattr(rows, name)
        other = {"sims": -values, "kinds": 1 - values}.get(name, 9 * values + 20)
        return replace(rows, **{name: other})

    return change


def codes(model: Ranker, rows: Samples) -> Samples:
    model.set_codes(model.codes[torch.randperm(ITEMS, generator=torch.Generator().manual_seed(3))])
    return rows


def ids(model: Ranker, rows: Samples) -> Samples:
    with torch.no_grad():
        model.ids.weight.copy_(model.ids.weight.roll(1, dims=0))
    return rows


def nearest(model: Ranker, rows: Samples) -> Samples:
    model.set_nearest((-vectors() @ vectors().T).topk(25, dim=1).indices)
    return rows


PARTS: dict[str, tuple[Design, Change]] = {
    "length": (Design(), column("history_length")),
    "item_id": (Design(), ids),
    "simtier": (Design(extras=("simtier",)), column("sims")),
    "rates": (Design(extras=("rates",)), column("rates")),
    "time": (Design(extras=("time",)), column("seconds")),
    "event": (Design(extras=("event",)), column("kinds")),
    "position": (Design(extras=("position",)), column("after")),
    "semantic_id": (Design(features=("semantic_id",)), codes),
    "prefix": (Design(features=("prefix",)), codes),
    "nearest_items": (Design(features=("nearest_items",)), nearest),
    "semantic attention": (Design(attention="semantic"), column("sims")),
}


def lively(design: Design) -> Ranker:
    """A model that was not trained, in which vectors are as long as those of one that was."""
    model, draw = ranker(design), torch.Generator().manual_seed(2)
    model.known[:] = True
    for module in model.modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            nn.init.normal_(module.weight, generator=draw)
    return model


def moved(design: Design, change: Change, of: Callable[[Ranker, Samples], np.ndarray] = predict) -> float:
    """By how much a change moves predictions, or another thing, where it moves them least; mean over the rows."""
    rows, model = rows_of(design, log()), lively(design)
    before = of(model, rows)
    return float(np.abs(of(model, change(model, rows)) - before).mean(axis=0).min())


def test_without_item_ids_items_differ_by_their_codes_alone() -> None:
    model = lively(Design(features=("semantic_id",)))
    alike = model.embed(torch.tensor([0, 16, 1]))  # their codes, see `designs.ranker`: 0 0 0, 0 0 0, 1 0 1
    assert torch.equal(alike[0], alike[1])
    assert not torch.equal(alike[0], alike[2])


@pytest.mark.parametrize("lists", [(), LISTS], ids=["one list", "two lists"])
@pytest.mark.parametrize("part", PARTS)
def test_a_prediction_moves_with_what_a_part_is_told(part: str, lists: tuple[tuple[int, int], ...]) -> None:
    design, change = PARTS[part]
    assert moved(replace(design, k=8, lists=lists), change) > LEAST


@pytest.mark.parametrize("part", ["time", "event", "position", "prefix"])
def test_what_is_told_of_an_event_moves_how_much_it_weighs(part: str) -> None:
    design, change = PARTS[part]
    assert moved(replace(design, k=8), change, weigh) > LEAST


def test_prefixes_are_counted_beside_being_told_of_each_event() -> None:
    def untold(model: Ranker, rows: Samples) -> np.ndarray:
        told = model.told["prefix"]
        assert isinstance(told, nn.Embedding)
        nn.init.zeros_(told.weight)
        return predict(model, rows)

    design, change = PARTS["prefix"]
    assert moved(replace(design, k=8), change, untold) > LEAST


def test_quadratic_attention_multiplies_two_views_of_the_features() -> None:
    design = Design(k=8, attention="quadratic")
    rows, model = rows_of(design, log()), lively(design)
    before = predict(model, rows)
    with torch.no_grad():
        for view in (model.left, model.right):
            for weights in view.parameters():
                weights.neg_()
    np.testing.assert_allclose(predict(model, rows), before, atol=1e-6)  # minus by minus
    with torch.no_grad():
        for weights in model.left.parameters():
            weights.neg_()
    assert np.abs(predict(model, rows) - before).mean(axis=0).min() > LEAST
