"""The grid of the ranker: every point of it trains, each part does what its paper says, none sees the future."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from models.metrics import log_loss
from models.ranker import (
    PRESETS,
    Design,
    Histories,
    Ranker,
    find,
    fit,
    gathered,
    load,
    predict,
    reindexed,
    save,
)
from models.ranker.attention import Seen, TargetAttention
from models.ranker.design import Attention, Heads, Search
from models.ranker.head import EntireSpace, MultiGateExperts, heads
from models.ranker.model import NEAREST
from models.ranker.rates import RATES
from models.ranker.training import weigh
from tests.models.ranker.designs import EVERYTHING, ITEMS, ROWS, categories, log, ranker, rows_of, trained, vectors

GRID = [
    *PRESETS.values(),
    EVERYTHING,
    *(replace(EVERYTHING, search=search) for search in get_args(Search)),
    *(replace(EVERYTHING, attention=attention) for attention in get_args(Attention)),
    *(replace(EVERYTHING, heads=heads) for heads in get_args(Heads)),
    *(
        replace(EVERYTHING, search=search, lists=((1, 3), (0, 6)), distinct=search == "category")
        for search in get_args(Search)
    ),
]


@pytest.mark.parametrize("design", GRID, ids=str)
def test_every_design_learns_and_a_saved_model_predicts_the_same(design: Design, tmp_path: Path) -> None:
    rows = rows_of(design, log())
    model = trained(design, rows)
    before = predict(model, rows)
    assert before.shape == (ROWS, 2)
    for labels, scores in zip(rows.labels.T, before.T, strict=True):
        base_rate = log_loss(labels, np.full(ROWS, labels.mean()))
        assert log_loss(labels, scores) < 0.85 * base_rate
    save(model, tmp_path)
    assert load(tmp_path).design == design
    assert np.array_equal(predict(load(tmp_path), rows), before)
    order = torch.randperm(ITEMS, generator=torch.Generator().manual_seed(0))
    new_of = torch.argsort(order).numpy()
    moved = replace(rows, target=new_of[rows.target], topk=np.where(rows.topk < 0, -1, new_of[rows.topk]))
    assert np.array_equal(predict(reindexed(model, order), moved), before)


@pytest.mark.parametrize("design", GRID, ids=str)
def test_nothing_that_happens_at_or_after_a_row_changes_what_it_is_told(design: Design) -> None:
    events, other = log(), log(seed=5)
    cut = 500_000_000
    late = events["ts"] >= cut
    changed = {name: np.where(late, other[name], values) for name, values in events.items() if name != "ts"}
    changed["ts"] = np.where(late, cut + (events["ts"] - cut) // 2, events["ts"])
    one, two = rows_of(design, events), rows_of(design, changed)
    past = one.ts <= cut
    for name in ("target", "topk", "sims", "history_length", "seconds", "kinds", "after", "rates"):
        a, b = getattr(one, name), getattr(two, name)
        assert (a is None) == (b is None)
        assert a is None or np.array_equal(a[past], b[past])
    assert not np.array_equal(one.topk[~past], two.topk[~past])  # where it is the past, the change is seen


@pytest.mark.parametrize("search", get_args(Search))
def test_a_planted_event_of_the_same_moment_is_not_found(search: Search) -> None:
    design = Design(search, k=3)
    histories = Histories.from_arrays(np.zeros(2, int), np.array([1, 6]), np.array([10, 20]), 1)
    zero, target = np.array([0]), np.array([6])  # as alike as can be, of the same category
    end = histories.ends(zero, np.array([20]))
    found = find(design, histories, zero, target, end, vectors=vectors(), categories=categories())
    assert found.items.tolist() == [[1, -1, -1]]
    later = find(design, histories, zero, target, end + 1, vectors=vectors(), categories=categories())
    assert 6 in later.items


@pytest.mark.parametrize("search", ["latest", "category"])
def test_similarities_are_told_of_events_that_were_not_searched_by_them(search: Search) -> None:
    rows = rows_of(Design(search, k=5, attention="semantic"), log())
    alike = (vectors()[rows.target].unsqueeze(1) * vectors()[np.maximum(rows.topk, 0)]).sum(dim=2).numpy()
    np.testing.assert_allclose(rows.sims, np.where(rows.topk < 0, 0, alike), atol=1e-6)
    assert not rows_of(Design(search, k=5), log()).sims.any()  # nothing sees them


def test_a_category_is_searched_newest_first_and_no_category_finds_nothing() -> None:
    histories = Histories.from_arrays(np.zeros(4, int), np.array([1, 2, 6, 11]), np.arange(4), 1)
    user, end = np.zeros(2, int), np.full(2, 4)
    found = find(Design("category", k=2), histories, user, np.array([16, 5]), end, categories=categories())
    assert found.items.tolist() == [[11, 6], [-1, -1]]
    assert found.events.tolist() == [[3, 2], [-1, -1]]


def test_an_event_is_told_with_its_age_its_type_and_its_place() -> None:
    histories = Histories.from_arrays(
        np.zeros(3, int), np.array([3, 4, 5]), np.array([1, 2, 4]) * 10**6, 1, kinds=np.array([1, 0, 1])
    )
    design, zero = replace(EVERYTHING, search="latest", k=4), np.array([0])
    end = histories.ends(zero, np.array([10 * 10**6]))
    found = find(design, histories, zero, zero, end, vectors=vectors())
    rows = gathered(
        design, histories, found, zero, zero, end, np.array([10 * 10**6]), np.zeros((1, 2)), np.zeros((1, RATES))
    )
    assert rows.topk.tolist() == [[5, 4, 3, -1]]
    for told, wanted in ((rows.seconds, [6, 8, 9, 0]), (rows.kinds, [1, 0, 1, 0]), (rows.after, [0, 1, 2, 0])):
        assert told is not None
        assert told.tolist() == [wanted]


def test_codes_shared_after_one_that_differs_do_not_count_nor_do_codes_that_are_missing() -> None:
    model = ranker(EVERYTHING)
    codes = torch.tensor([[1, 2, 3], [1, 2, 3], [1, 0, 3], [0, 2, 3], [-1, -1, -1]])
    model.set_codes(torch.cat([codes, torch.zeros(ITEMS - 5, 3, dtype=torch.int64)]))
    events = torch.tensor([[0, 1, 2, 3, 4]])
    assert model.shared_prefix(torch.tensor([0]), events).tolist() == [[3, 3, 1, 0, 0]]
    assert model.shared_prefix(torch.tensor([4]), events).tolist() == [[0, 0, 0, 0, 0]]


def test_a_purchase_is_never_likelier_than_its_click() -> None:
    design = replace(EVERYTHING, heads="entire_space")
    rows = rows_of(design, log())
    click, purchase = predict(trained(design, rows), rows).T
    assert (purchase < click).all()
    with pytest.raises(ValueError, match="needs both"):
        Ranker(design=replace(design, features=()), n_items=3, tasks=("like",), kinds=2)


def test_a_purchase_that_was_certain_and_did_not_happen_is_learned_from() -> None:
    inner = MultiGateExperts(width=1, tasks=2, experts=1, hidden=4, dropout=0)
    inner.start_at(torch.tensor([15.0, 15.0], dtype=torch.float64).sigmoid())
    logit = EntireSpace(inner, 0, 1)(torch.zeros(1, 1))[:, 1]
    at = logit.detach().requires_grad_()
    torch.autograd.backward(torch.nn.functional.softplus(at))  # of a label that is 0
    torch.autograd.backward(logit, at.grad)
    for tower in inner.towers:
        *_, last = tower.children()
        assert isinstance(last, torch.nn.Linear)
        assert last.bias.grad is not None
        assert float(last.bias.grad) == pytest.approx(0.5, abs=0.1)


def test_events_without_interest_count_nothing_in_quadratic_attention() -> None:
    model = ranker(replace(EVERYTHING, attention="quadratic"))
    target, items = torch.randn(1, 16), torch.randn(2, 16)
    items[1] = 0.0
    with torch.no_grad():
        attention = model.attentions[0]
        assert isinstance(attention, TargetAttention)
        attention.key.bias.zero_()
        attention.query.bias.zero_()
        none = torch.tensor([[False] * 2])
        nothing = attention(Seen(target, items, torch.tensor([[1, 1]]), None, torch.zeros(1, 2), none))
    assert (nothing == 0).all()


@pytest.mark.parametrize("attention", get_args(Attention))
def test_what_events_weigh_is_what_attention_used(attention: Attention) -> None:
    design = replace(EVERYTHING, attention=attention)
    rows = rows_of(design, log())
    model = ranker(design)
    model.known[:] = True
    torch.nn.init.normal_(model.ids.weight, generator=torch.Generator().manual_seed(0))  # events that differ
    weights = weigh(model, rows)
    assert weights.shape == rows.topk.shape
    assert (weights[rows.topk < 0] == 0).all()
    assert (weights >= 0).all()
    heaviest = weights.argmax(axis=1)
    some = np.flatnonzero(weights.max(axis=1) > weights.mean(axis=1))
    without = rows.topk.copy()
    without[some, heaviest[some]] = -1
    least = rows.topk.copy()
    least[some, np.where(rows.topk < 0, 2, weights).argmin(axis=1)[some]] = -1
    before = predict(model, rows)

    def moved(topk: np.ndarray) -> float:
        return float(np.abs(predict(model, replace(rows, topk=topk)) - before)[some].mean())

    assert moved(without) > moved(least)


def test_a_step_moves_only_the_rows_of_items_that_it_read_itself() -> None:
    """Also of those that an earlier step read: no momentum, no decay."""
    design = replace(PRESETS["qarm_v1"], k=3)
    rows, model = rows_of(design, log()).take(np.arange(40)), ranker(design)
    model.set_nearest(torch.arange(ITEMS)[:, None].repeat(1, NEAREST))  # itself, so that `near` reads few rows, too
    before = [table.detach().clone() for table in model.tables()]
    moved, rested = [set[int](), set[int]()], [set[int](), set[int]()]

    def watch(_: int, __: int) -> None:
        for at, table in enumerate(model.tables()):
            assert table.grad is not None
            read = table.grad.to_dense().any(dim=1)
            assert torch.equal(table[~read], before[at][~read])
            assert (table != before[at]).any(dim=1)[read].all()
            before[at] = table.detach().clone()
            rested[at] |= moved[at].difference(read.nonzero().flatten().tolist())
            moved[at] |= set(read.nonzero().flatten().tolist())

    fit(model, rows, seed=0, epochs=1, batch_size=4, lr=1e-2, valid_share=0.2, patience=1, progress=watch)
    assert len(rested) == len(model.tables()) == 2
    assert all(rested)  # rows that one step read and another did not


def test_what_a_design_needs_and_is_not_told_is_named() -> None:
    zero = np.array([0])
    histories = Histories.from_arrays(zero, zero, zero, 1)
    with pytest.raises(ValueError, match="needs categories"):
        find(Design("category"), histories, zero, zero, zero)
    found = find(Design("latest"), histories, zero, zero, zero)
    with pytest.raises(ValueError, match="running rates"):
        gathered(Design("latest", extras=("rates",)), histories, found, zero, zero, zero, zero, np.zeros((1, 1)))
    with pytest.raises(ValueError, match="types of events"):
        gathered(Design("latest", extras=("event",)), histories, found, zero, zero, zero, zero, np.zeros((1, 1)))
    with pytest.raises(ValueError, match="code_sizes"):
        Ranker(design=PRESETS["qarm_v2"], n_items=3, tasks=("like",))


@pytest.mark.parametrize("kind", ["single", "experts", "entire_space"])
def test_a_new_model_starts_at_how_often_labels_are_one(kind: Heads) -> None:
    torch.manual_seed(0)  # hidden weights move the start a little
    found = heads(kind, 4, ("click", "purchase"), experts=2, hidden=8, dropout=0.0)
    found.start_at(torch.tensor([0.5, 0.3]))
    torch.testing.assert_close(found(torch.zeros(3, 4)).sigmoid(), torch.tensor([[0.5, 0.3]] * 3), atol=0.07, rtol=0)


def test_ids_that_were_never_trained_have_no_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(PRESETS["din"], log())
    few = rows.take(np.flatnonzero((rows.target < 20) & (rows.topk < 20).all(axis=1)))
    model = trained(PRESETS["din"], few)
    known = model.known[:ITEMS]
    assert known[:20].any()
    assert not known[20:].any()
    monkeypatch.setattr("models.ranker.gsu.GRID", 1 << 22)  # what it computes before it rounds
    torch.testing.assert_close(model.id_directions().norm(dim=1), known.float())
