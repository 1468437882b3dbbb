"""The grid of the ranker: every point of it trains, each part does what its paper says, none sees the future."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from models.ranker import (
    PRESETS,
    Design,
    Histories,
    Ranker,
    Samples,
    find,
    fit,
    gathered,
    load,
    predict,
    reindexed,
    save,
)
from models.ranker.attention import Seen, TargetAttention
from models.ranker.batch import batch_of, whole
from models.ranker.design import Attention, Heads, Search
from models.ranker.head import heads
from models.ranker.rates import RATES, Events, Rates, Totals
from models.ranker.training import weigh

USERS, ITEMS, EVENTS, ROWS = 12, 40, 600, 300
SIZES = (4, 4, 8)
EVERYTHING = Design(
    "item_embedding", 8, ("semantic_id", "nearest_items", "prefix"), "semantic",
    ("simtier", "rates", "time", "event", "position"), "experts",
)  # fmt: skip


def log(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "user": rng.integers(0, USERS, EVENTS), "item": rng.integers(0, ITEMS, EVENTS),
        "ts": np.sort(rng.integers(0, 10**9, EVENTS)), "kind": rng.integers(0, 2, EVENTS),
    }  # fmt: skip


def vectors() -> Tensor:
    return torch.nn.functional.normalize(torch.randn(ITEMS, 6, generator=torch.Generator().manual_seed(1)), dim=1)


def categories() -> Tensor:
    return torch.arange(ITEMS) % 5 - 1  # some are of none


def rows_of(design: Design, events: dict[str, np.ndarray], seed: int = 7) -> Samples:
    rng = np.random.default_rng(seed)
    user, item, ts = rng.integers(0, USERS, ROWS), rng.integers(0, ITEMS, ROWS), rng.integers(0, 10**9, ROWS)
    histories = Histories.from_arrays(events["user"], events["item"], events["ts"], USERS, kinds=events["kind"])
    end = histories.ends(user, ts)
    found = find(design, histories, user, item, end, vectors=vectors(), categories=categories())
    labels = rng.integers(0, 2, (ROWS, 2)).astype(np.float32)
    shown = (events["user"], events["item"], events["ts"])
    taken = tuple(column[events["kind"] == 1] for column in shown)
    rates = Rates.from_arrays(shown, (taken[0], taken[1], taken[2]), USERS, ITEMS, 10**9).at(user, item, ts)
    return gathered(design, histories, found, user, item, end, ts, labels, rates)


def ranker(design: Design) -> Ranker:
    model = Ranker(
        design=design, n_items=ITEMS, tasks=("click", "purchase"), code_sizes=SIZES, nearest_of=ITEMS, kinds=2
    )
    if model.codes.shape[1]:
        i = torch.arange(ITEMS)
        model.set_codes(torch.stack([i % 4, i // 4 % 4, i % 8], dim=1))
    if "nearest_items" in design.features:
        model.set_nearest((vectors() @ vectors().T).topk(25, dim=1).indices)
    return model.eval()


def trained(design: Design, rows: Samples) -> Ranker:
    model = ranker(design)
    fit(model, rows, seed=0, epochs=1, batch_size=64, lr=1e-2, valid_share=0.2, patience=1)
    return model


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
def test_every_design_trains_and_a_saved_model_predicts_the_same(design: Design, tmp_path: Path) -> None:
    rows = rows_of(design, log())
    model = trained(design, rows)
    before = predict(model, rows)
    assert before.shape == (ROWS, 2)
    assert np.isfinite(before).all()
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


def test_rates_count_what_was_shown_and_taken_strictly_before_the_moment() -> None:
    shown = (np.array([0, 0, 1, -1]), np.array([3, 4, 3, 3]), np.array([10, 20, 30, 40]))
    taken = (np.array([0, 1]), np.array([3, 3]), np.array([15, 35]))
    rates = Rates.from_arrays(shown, taken, 2, 5, window=1000)
    user, item = np.array([0, 0, 0, 1]), np.array([3, 3, 4, 3])
    got = rates.at(user, item, np.array([10, 16, 21, 41]))
    counts = np.array([  # shown and taken: of all, of the user, of the item
        [[0, 0], [0, 0], [0, 0]],
        [[1, 1], [1, 1], [1, 1]],
        [[2, 1], [2, 1], [1, 0]],
        [[4, 2], [1, 1], [3, 2]],
    ])  # fmt: skip
    mean = (counts[:, :1, 1] + 1) / (counts[:, :1, 0] + 2)
    share = (counts[:, 1:, 1] + 5 * mean) / (counts[:, 1:, 0] + 5)
    wanted = np.stack([np.log(share / (1 - share)), np.log1p(counts[:, 1:, 0]) / 5], axis=2).reshape(4, RATES)
    assert got == pytest.approx(wanted, rel=1e-6)


def test_rates_forget_what_is_older_than_their_window_and_end_as_their_totals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["models.ranker.rates"], "EVENTS_AT_ONCE", 70)
    rng = np.random.default_rng(0)
    shown = (rng.integers(-1, 4, 500), rng.integers(0, 6, 500), rng.integers(0, 1000, 500))
    taken = (rng.integers(-1, 4, 300), rng.integers(0, 6, 300), rng.integers(0, 1000, 300))
    user, item = np.repeat(np.arange(4), 6), np.tile(np.arange(6), 4)
    rates = Rates.from_arrays(shown, taken, 4, 6, window=400).at(user, item, np.full(24, 1000))

    def halves(of: np.ndarray, what: np.ndarray, ts: np.ndarray) -> list[Events]:
        late = ts >= 600
        return [(of[late][at::2], what[late][at::2], ts[late][at::2]) for at in (0, 1)]

    totals = Totals.count(halves(*shown), halves(*taken), 4, 6)
    assert np.array_equal(rates, totals.at(user, item))
    assert np.isfinite(rates).all()


def test_what_was_taken_counts_as_shown_whatever_comes_later() -> None:
    zero = np.zeros(4, int)
    taken, none = (zero, zero, np.arange(4)), (zero[:0], zero[:0], zero[:0])
    later = (zero[:1], zero[:1], np.array([100]))
    rows = (zero[:1], zero[:1], np.array([50]))
    one, two = (Rates.from_arrays(shown, taken, 1, 1, window=1000).at(*rows) for shown in (none, later))
    assert np.array_equal(one, two)
    assert one[0, 0] == pytest.approx(np.log((4 + 5 * 5 / 6) / (5 / 6)))  # of 4 that were taken as many were shown


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
    found = find(design, histories, zero, zero, end)
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


def test_a_step_leaves_the_rows_of_items_that_it_did_not_read() -> None:
    rows = rows_of(PRESETS["qarm_v2"], log())
    model = ranker(PRESETS["qarm_v2"])
    before = model.ids.weight.detach().clone()
    few = rows.take(np.flatnonzero((rows.target < 20) & (rows.topk < 20).all(axis=1)))
    fit(model, few, seed=0, epochs=2, batch_size=16, lr=1e-2, valid_share=0.2, patience=1)
    assert torch.equal(model.ids.weight[20:ITEMS], before[20:ITEMS])
    assert not torch.equal(model.ids.weight[:20], before[:20])


def test_what_a_design_needs_and_is_not_told_is_named() -> None:
    zero = np.array([0])
    histories = Histories.from_arrays(zero, zero, zero, 1)
    with pytest.raises(ValueError, match="neither vectors nor categories"):
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
    found = heads(kind, 4, ("click", "purchase"), experts=2, hidden=8, dropout=0.0)
    found.start_at(torch.tensor([0.5, 0.3]))
    torch.testing.assert_close(found(torch.zeros(3, 4)).sigmoid(), torch.tensor([[0.5, 0.3]] * 3), atol=0.07, rtol=0)
