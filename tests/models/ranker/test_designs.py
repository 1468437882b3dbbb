"""Designs of the ranker: every design trains, each part follows its paper, and no part sees the future."""

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
    build_samples,
    fit,
    load,
    predict,
    reindex_items,
    save,
    search_histories,
)
from models.ranker.attention import AttentionInput, TargetAttention
from models.ranker.design import Attention, Heads, Search
from models.ranker.head import EntireSpace, MultiGateExperts, build_head
from models.ranker.model import NEAREST
from models.ranker.prediction import predict_attention
from models.ranker.rates import RATES
from models.ranker.similar_rates import SIMILAR_RATES
from models.training.optimizers import sparse_tables
from tests.models.ranker.designs import (
    EVERYTHING,
    ITEMS,
    ROWS,
    build_ranker,
    build_rows,
    categories,
    make_log,
    train_ranker,
    vectors,
)

DESIGNS = [
    *PRESETS.values(),
    EVERYTHING,
    *(replace(EVERYTHING, search=search) for search in get_args(Search)),
    *(replace(EVERYTHING, latest=5, lists=lists) for lists in ((), ((1, 3), (0, 6)))),
    *(replace(EVERYTHING, attention=attention) for attention in get_args(Attention)),
    *(replace(EVERYTHING, heads=heads) for heads in get_args(Heads)),
    *(
        replace(EVERYTHING, search=search, lists=((1, 3), (0, 6)), distinct=search == "category")
        for search in get_args(Search)
    ),
]


@pytest.mark.parametrize("design", DESIGNS, ids=str)
def test_every_design_learns_and_a_saved_model_predicts_the_same(design: Design, tmp_path: Path) -> None:
    rows = build_rows(design, make_log())
    model = train_ranker(design, rows)
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
    assert np.array_equal(predict(reindex_items(model, order), moved), before)


@pytest.mark.parametrize("design", DESIGNS, ids=str)
def test_nothing_that_happens_at_or_after_a_row_changes_its_input(design: Design) -> None:
    events, other = make_log(), make_log(seed=5)
    cut = 500_000_000
    late = events["ts"] >= cut
    changed = {name: np.where(late, other[name], values) for name, values in events.items() if name != "ts"}
    changed["ts"] = np.where(late, cut + (events["ts"] - cut) // 2, events["ts"])
    rows, changed_rows = build_rows(design, events), build_rows(design, changed)
    before = rows.ts <= cut
    for name in (
        "target",
        "topk",
        "sims",
        "history_length",
        "seconds",
        "kinds",
        "events_after",
        "rates",
        "similar_rates",
    ):
        a, b = getattr(rows, name), getattr(changed_rows, name)
        assert (a is None) == (b is None)
        assert a is None or np.array_equal(a[before], b[before])
    assert not np.array_equal(rows.topk[~before], changed_rows.topk[~before])  # later rows see the change


@pytest.mark.parametrize("search", get_args(Search))
def test_a_planted_event_of_the_same_moment_is_not_found(search: Search) -> None:
    design = Design(search, k=3)
    histories = Histories.from_arrays(np.zeros(2, int), np.array([1, 6]), np.array([10, 20]), 1)
    zero, target = np.array([0]), np.array([6])  # the target itself: most similar, same category
    end = histories.ends(zero, np.array([20]))
    result = search_histories(design, histories, zero, target, end, vectors=vectors(), categories=categories())
    assert result.items.tolist() == [[1, -1, -1]]
    later = search_histories(design, histories, zero, target, end + 1, vectors=vectors(), categories=categories())
    assert 6 in later.items


@pytest.mark.parametrize("search", ["latest", "category"])
def test_similarities_are_computed_for_events_that_another_search_found(search: Search) -> None:
    rows = build_rows(Design(search, k=5, attention="semantic"), make_log())
    products = (vectors()[rows.target].unsqueeze(1) * vectors()[np.maximum(rows.topk, 0)]).sum(dim=2).numpy()
    np.testing.assert_allclose(rows.sims, np.where(rows.topk < 0, 0, products), atol=1e-6)
    assert not build_rows(Design(search, k=5), make_log()).sims.any()  # no part reads them


def test_a_category_is_searched_newest_first_and_no_category_finds_nothing() -> None:
    histories = Histories.from_arrays(np.zeros(4, int), np.array([1, 2, 6, 11]), np.arange(4), 1)
    user, end = np.zeros(2, int), np.full(2, 4)
    result = search_histories(Design("category", k=2), histories, user, np.array([16, 5]), end, categories=categories())
    assert result.items.tolist() == [[11, 6], [-1, -1]]
    assert result.events.tolist() == [[3, 2], [-1, -1]]


def test_an_event_comes_with_its_age_its_type_and_its_position() -> None:
    histories = Histories.from_arrays(
        np.zeros(3, int), np.array([3, 4, 5]), np.array([1, 2, 4]) * 10**6, 1, kinds=np.array([1, 0, 1])
    )
    design, zero = replace(EVERYTHING, search="latest", k=4), np.array([0])
    end = histories.ends(zero, np.array([10 * 10**6]))
    result = search_histories(design, histories, zero, zero, end, vectors=vectors())
    rows = build_samples(
        design,
        histories,
        result,
        zero,
        zero,
        end,
        np.array([10 * 10**6]),
        np.zeros((1, 2)),
        np.zeros((1, RATES)),
        np.zeros((1, SIMILAR_RATES)),
    )
    assert rows.topk.tolist() == [[5, 4, 3, -1]]
    columns = ((rows.seconds, [6, 8, 9, 0]), (rows.kinds, [1, 0, 1, 0]), (rows.events_after, [0, 1, 2, 0]))
    for values, expected in columns:
        assert values is not None
        assert values.tolist() == [expected]


def test_codes_shared_after_one_that_differs_do_not_count_nor_do_codes_that_are_missing() -> None:
    model = build_ranker(EVERYTHING)
    codes = torch.tensor([[1, 2, 3], [1, 2, 3], [1, 0, 3], [0, 2, 3], [-1, -1, -1]])
    model.set_codes(torch.cat([codes, torch.zeros(ITEMS - 5, 3, dtype=torch.int64)]))
    events = torch.tensor([[0, 1, 2, 3, 4]])
    assert model.count_shared_prefix(torch.tensor([0]), events).tolist() == [[3, 3, 1, 0, 0]]
    assert model.count_shared_prefix(torch.tensor([4]), events).tolist() == [[0, 0, 0, 0, 0]]


def test_a_purchase_is_never_likelier_than_its_click() -> None:
    design = replace(EVERYTHING, heads="entire_space")
    rows = build_rows(design, make_log())
    click, purchase = predict(train_ranker(design, rows), rows).T
    assert (purchase < click).all()
    with pytest.raises(ValueError, match="needs both"):
        Ranker(design=replace(design, features=()), n_items=3, tasks=("like",), kinds=2)


def test_a_purchase_that_was_certain_and_did_not_happen_is_learned_from() -> None:
    torch.manual_seed(0)  # the weights of hidden layers move the prediction a little
    inner = MultiGateExperts(width=1, tasks=2, experts=1, hidden=4, dropout=0)
    inner.init_biases(torch.tensor([15.0, 15.0], dtype=torch.float64).sigmoid())
    logit = EntireSpace(inner, 0, 1)(torch.zeros(1, 1))[:, 1]
    leaf = logit.detach().requires_grad_()
    torch.autograd.backward(torch.nn.functional.softplus(leaf))  # the loss of a label 0
    torch.autograd.backward(logit, leaf.grad)
    for tower in inner.towers:
        *_, last = tower.children()
        assert isinstance(last, torch.nn.Linear)
        assert last.bias.grad is not None
        assert float(last.bias.grad) == pytest.approx(0.5, abs=0.1)


def test_events_that_do_not_match_count_nothing_in_quadratic_attention() -> None:
    model = build_ranker(replace(EVERYTHING, attention="quadratic"))
    target, items = torch.randn(1, 16), torch.randn(2, 16)
    items[1] = 0.0
    with torch.no_grad():
        attention = model.attentions[0]
        assert isinstance(attention, TargetAttention)
        attention.key.bias.zero_()
        attention.query.bias.zero_()
        no_padding = torch.tensor([[False] * 2])
        inputs = AttentionInput(target, items, torch.tensor([[1, 1]]), None, torch.zeros(1, 2), no_padding)
        interest = attention(inputs)
    assert (interest == 0).all()


@pytest.mark.parametrize("attention", get_args(Attention))
def test_attention_weights_are_those_that_the_prediction_used(attention: Attention) -> None:
    design = replace(EVERYTHING, attention=attention)
    rows = build_rows(design, make_log())
    model = build_ranker(design)
    model.known[:] = True
    torch.nn.init.normal_(model.ids.weight, generator=torch.Generator().manual_seed(0))  # events that differ
    weights = predict_attention(model, rows)
    assert weights.shape == rows.topk.shape
    assert (weights[rows.topk < 0] == 0).all()
    assert (weights >= 0).all()
    heaviest = weights.argmax(axis=1)
    uneven = np.flatnonzero(weights.max(axis=1) > weights.mean(axis=1))
    without_heaviest = rows.topk.copy()
    without_heaviest[uneven, heaviest[uneven]] = -1
    without_lightest = rows.topk.copy()
    without_lightest[uneven, np.where(rows.topk < 0, 2, weights).argmin(axis=1)[uneven]] = -1
    before = predict(model, rows)

    def measure_change(topk: np.ndarray) -> float:
        return float(np.abs(predict(model, replace(rows, topk=topk)) - before)[uneven].mean())

    assert measure_change(without_heaviest) > measure_change(without_lightest)


def test_a_step_changes_only_the_rows_of_items_that_it_reads() -> None:
    """Rows that an earlier step read stay as they are, too: no momentum, no decay."""
    design = replace(PRESETS["qarm_v1"], k=3)
    rows, model = build_rows(design, make_log()).take(np.arange(40)), build_ranker(design)
    model.set_nearest(
        torch.arange(ITEMS)[:, None].repeat(1, NEAREST)
    )  # each item itself, so that `near` reads few rows as well
    before = [table.detach().clone() for table in sparse_tables(model)]
    changed, unchanged = [set[int](), set[int]()], [set[int](), set[int]()]

    def watch(_: int, __: int) -> None:
        for number, table in enumerate(sparse_tables(model)):
            assert table.grad is not None
            read = table.grad.to_dense().any(dim=1)
            assert torch.equal(table[~read], before[number][~read])
            assert (table != before[number]).any(dim=1)[read].all()
            before[number] = table.detach().clone()
            unchanged[number] |= changed[number].difference(read.nonzero().flatten().tolist())
            changed[number] |= set(read.nonzero().flatten().tolist())

    fit(model, rows, seed=0, epochs=1, batch_size=4, lr=1e-2, valid_share=0.2, patience=1, progress=watch)
    assert len(unchanged) == len(sparse_tables(model)) == 2
    assert all(unchanged)  # there are rows that an earlier step read and a later step did not


def test_an_error_names_the_input_that_a_design_lacks() -> None:
    zero = np.array([0])
    histories = Histories.from_arrays(zero, zero, zero, 1)
    with pytest.raises(ValueError, match="needs categories"):
        search_histories(Design("category"), histories, zero, zero, zero)
    result = search_histories(Design("latest"), histories, zero, zero, zero)
    with pytest.raises(ValueError, match="running rates"):
        build_samples(Design("latest", extras=("rates",)), histories, result, zero, zero, zero, zero, np.zeros((1, 1)))
    with pytest.raises(ValueError, match="types of events"):
        build_samples(Design("latest", extras=("event",)), histories, result, zero, zero, zero, zero, np.zeros((1, 1)))
    with pytest.raises(ValueError, match="code_sizes"):
        Ranker(design=PRESETS["qarm_v2"], n_items=3, tasks=("like",))


@pytest.mark.parametrize("kind", ["single", "experts", "entire_space"])
def test_a_new_model_predicts_the_mean_of_the_labels(kind: Heads) -> None:
    torch.manual_seed(0)  # the weights of hidden layers move the prediction a little
    head = build_head(kind, 4, ("click", "purchase"), experts=2, hidden=8, dropout=0.0)
    head.init_biases(torch.tensor([0.5, 0.3]))
    torch.testing.assert_close(head(torch.zeros(3, 4)).sigmoid(), torch.tensor([[0.5, 0.3]] * 3), atol=0.07, rtol=0)


def test_ids_that_were_never_trained_have_no_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = build_rows(PRESETS["din"], make_log())
    few = rows.take(np.flatnonzero((rows.target < 20) & (rows.topk < 20).all(axis=1)))
    model = train_ranker(PRESETS["din"], few)
    known = model.known[:ITEMS]
    assert known[:20].any()
    assert not known[20:].any()
    monkeypatch.setattr("models.ranker.gsu.GRID", 1 << 22)  # a fine grid: almost no rounding
    torch.testing.assert_close(model.id_directions().norm(dim=1), known.float())
