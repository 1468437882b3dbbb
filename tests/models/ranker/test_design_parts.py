"""Every part of a design counts: changing the input of one part changes predictions."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from models.ranker import Design, Ranker, Samples, predict
from models.ranker.prediction import predict_attention
from tests.models.ranker.designs import ITEMS, build_ranker, build_rows, make_log, vectors

LISTS = ((1, 3), (0, 6))
MIN_CHANGE = 1e-4  # a change without effect gives exactly the same numbers
Change = Callable[[Ranker, Samples], Samples]  # changes the model in place, or returns other rows


def change_column(name: str) -> Change:
    """Change the numbers of that column in all rows."""

    def change(_: Ranker, rows: Samples) -> Samples:
        values = getattr(rows, name)
        changed = {"sims": -values, "kinds": 1 - values}.get(name, 9 * values + 20)
        return replace(rows, **{name: changed})

    return change


def change_codes(model: Ranker, rows: Samples) -> Samples:
    model.set_codes(model.codes[torch.randperm(ITEMS, generator=torch.Generator().manual_seed(3))])
    return rows


def change_ids(model: Ranker, rows: Samples) -> Samples:
    with torch.no_grad():
        model.ids.weight.copy_(model.ids.weight.roll(1, dims=0))
    return rows


def change_nearest(model: Ranker, rows: Samples) -> Samples:
    model.set_nearest((-vectors() @ vectors().T).topk(25, dim=1).indices)
    return rows


PARTS: dict[str, tuple[Design, Change]] = {
    "length": (Design(), change_column("history_length")),
    "item_id": (Design(), change_ids),
    "simtier": (Design(extras=("simtier",)), change_column("sims")),
    "rates": (Design(extras=("rates",)), change_column("rates")),
    "similar_rates": (Design(extras=("similar_rates",)), change_column("similar_rates")),
    "time": (Design(extras=("time",)), change_column("seconds")),
    "event": (Design(extras=("event",)), change_column("kinds")),
    "position": (Design(extras=("position",)), change_column("events_after")),
    "semantic_id": (Design(features=("semantic_id",)), change_codes),
    "prefix": (Design(features=("prefix",)), change_codes),
    "nearest_items": (Design(features=("nearest_items",)), change_nearest),
    "semantic attention": (Design(attention="semantic"), change_column("sims")),
}


def build_untrained(design: Design) -> Ranker:
    """An untrained model whose embeddings are as long as those of a trained model."""
    model, draw = build_ranker(design), torch.Generator().manual_seed(2)
    model.known[:] = True
    for module in model.modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            nn.init.normal_(module.weight, generator=draw)
    return model


def measure_change(design: Design, change: Change, compute: Callable[[Ranker, Samples], np.ndarray] = predict) -> float:
    """By how much a change moves predictions, or other results, in the column that it moves least; mean over rows."""
    rows, model = build_rows(design, make_log()), build_untrained(design)
    before = compute(model, rows)
    return float(np.abs(compute(model, change(model, rows)) - before).mean(axis=0).min())


def test_without_item_ids_items_differ_by_their_codes_only() -> None:
    model = build_untrained(Design(features=("semantic_id",)))
    vectors_of_items = model.embed_items(torch.tensor([0, 16, 1]))  # their codes: 0 0 0, 0 0 0, 1 0 1
    assert torch.equal(vectors_of_items[0], vectors_of_items[1])
    assert not torch.equal(vectors_of_items[0], vectors_of_items[2])


@pytest.mark.parametrize("lists", [(), LISTS], ids=["one list", "two lists"])
@pytest.mark.parametrize("part", PARTS)
def test_a_prediction_depends_on_the_input_of_each_part(part: str, lists: tuple[tuple[int, int], ...]) -> None:
    design, change = PARTS[part]
    assert measure_change(replace(design, k=8, lists=lists), change) > MIN_CHANGE


@pytest.mark.parametrize("part", ["time", "event", "position", "prefix"])
def test_an_events_weight_depends_on_its_features(part: str) -> None:
    design, change = PARTS[part]
    assert measure_change(replace(design, k=8), change, predict_attention) > MIN_CHANGE


def test_prefixes_are_counted_as_well_as_embedded() -> None:
    def predict_without_embedding(model: Ranker, rows: Samples) -> np.ndarray:
        table = model.told["prefix"]
        assert isinstance(table, nn.Embedding)
        nn.init.zeros_(table.weight)
        return predict(model, rows)

    design, change = PARTS["prefix"]
    assert measure_change(replace(design, k=8), change, predict_without_embedding) > MIN_CHANGE


def test_quadratic_attention_multiplies_two_views_of_the_features() -> None:
    design = Design(k=8, attention="quadratic")
    rows, model = build_rows(design, make_log()), build_untrained(design)
    before = predict(model, rows)
    with torch.no_grad():
        for view in (model.left, model.right):
            for weights in view.parameters():
                weights.neg_()
    np.testing.assert_allclose(predict(model, rows), before, atol=1e-6)  # minus times minus
    with torch.no_grad():
        for weights in model.left.parameters():
            weights.neg_()
    assert np.abs(predict(model, rows) - before).mean(axis=0).min() > MIN_CHANGE
