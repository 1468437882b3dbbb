"""What the ranking model promises: no future, an honest search, unknown items, repeatable training."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models import metrics
from models.ranker import (
    DIN,
    QARM_V2,
    Histories,
    Ranker,
    Samples,
    fit,
    latest,
    load,
    pca,
    predict,
    reindexed,
    save,
    search,
)
from models.ranker.training import loss_of, split_by_time

ITEMS, K = 60, 6
SIZES = (6, 4, 8)


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


@pytest.fixture
def histories() -> Histories:
    """User 0: items 3, 4, 5 at 10, 20, 30. User 1: nothing. User 2: items 7, 7 at 15, 25."""
    return Histories.from_arrays(ints(2, 0, 0, 2, 0), ints(7, 5, 3, 7, 4), ints(25, 30, 10, 15, 20), 3)


# Histories


def test_a_history_ends_before_an_event_of_the_same_microsecond(histories: Histories) -> None:
    ends = histories.ends(ints(0, 0, 2), ints(20, 21, 25))
    assert histories.lengths(ints(0, 0, 2), ends).tolist() == [1, 2, 1]


def test_an_item_of_the_future_is_never_found(histories: Histories) -> None:
    vectors = torch.eye(10)  # the future item 5 would be a perfect match
    end = histories.ends(ints(0), ints(30))
    assert search(histories, vectors, ints(0), ints(5), end, k=3)[0].tolist() == [[4, 3, -1]]
    assert latest(histories, ints(0), end, k=3).tolist() == [[4, 3, -1]]


def test_ends_agree_with_counting_for_every_user() -> None:
    rng = np.random.default_rng(0)
    users, ts = rng.integers(0, 9, 300), rng.integers(0, 50, 300)
    many = Histories.from_arrays(users, rng.integers(0, ITEMS, 300), ts, 10)
    user, until = rng.integers(0, 10, 200), rng.integers(-5, 60, 200)
    counted = [int(((users == u) & (ts < t)).sum()) for u, t in zip(user, until, strict=True)]
    assert many.lengths(user, many.ends(user, until)).tolist() == counted


def test_histories_do_not_depend_on_the_order_of_events() -> None:
    rng = np.random.default_rng(1)
    users, items, ts = rng.integers(0, 5, 100), rng.integers(0, ITEMS, 100), rng.integers(0, 9, 100)
    order = rng.permutation(100)
    one = Histories.from_arrays(users, items, ts, 5)
    other = Histories.from_arrays(users[order], items[order], ts[order], 5)
    assert (one.items == other.items).all()
    assert (one.ts == other.ts).all()


def test_an_unknown_user_index_is_refused() -> None:
    with pytest.raises(ValueError, match="user index"):
        Histories.from_arrays(ints(3), ints(0), ints(0), 3)


def test_a_world_without_events_has_empty_histories() -> None:
    empty = Histories.from_arrays(ints(), ints(), ints(), 2)
    end = empty.ends(ints(0, 1), ints(5, 5))
    assert latest(empty, ints(0, 1), end, k=2).tolist() == [[-1, -1]] * 2
    assert search(empty, torch.eye(3), ints(0, 1), ints(0, 1), end, k=2)[0].tolist() == [[-1, -1]] * 2


# GSU


def test_padding_does_not_win_over_an_unlike_item() -> None:
    vectors = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [-0.5, 0.5]])
    two = Histories.from_arrays(ints(0, 0, 1, 1, 1), ints(1, 2, 1, 1, 1), ints(1, 2, 1, 2, 3), 2)
    items, sims = search(two, vectors, ints(0, 1), ints(0, 0), two.ends(ints(0, 1), ints(9, 9)), k=3)
    assert items.tolist() == [[2, 1, -1], [1, 1, 1]]
    assert sims[0].tolist() == [-0.5, -1.0, 0.0]


def test_repeated_events_are_found_as_often_as_they_happened(histories: Histories) -> None:
    end = histories.ends(ints(2), ints(99))
    assert search(histories, torch.eye(10), ints(2), ints(7), end, k=3)[0].tolist() == [[7, 7, -1]]


def test_only_the_latest_events_of_a_very_long_history_are_searched(histories: Histories) -> None:
    end = histories.ends(ints(0), ints(99))
    found, _ = search(histories, torch.eye(10), ints(0), ints(3), end, k=3, max_history=2)
    assert found.tolist() == [[5, 4, -1]]


@pytest.mark.parametrize("items_per_event", [0, 40])
def test_search_agrees_with_a_full_sort_whatever_shares_its_batch(
    monkeypatch: pytest.MonkeyPatch, items_per_event: int
) -> None:
    monkeypatch.setattr("models.ranker.gsu.SCORES_PER_BATCH", 64)
    monkeypatch.setattr("models.ranker.gsu.ITEMS_PER_EVENT", items_per_event)
    rng = np.random.default_rng(3)
    users, items, ts = rng.integers(0, 20, 900), rng.integers(0, ITEMS, 900), np.arange(900)
    many = Histories.from_arrays(users, items, ts, 20)
    vectors = torch.from_numpy(rng.integers(-2, 3, (ITEMS, 3)).astype(np.float32))  # many ties
    user, target, until = rng.integers(0, 20, 70), rng.integers(0, ITEMS, 70), rng.integers(0, 900, 70)
    found, sims = search(many, vectors, user, target, many.ends(user, until), k=K)
    for row in range(70):
        past = items[(users == user[row]) & (ts < until[row])][::-1].copy()
        scores = (vectors[past] @ vectors[target[row]]).numpy()
        best = np.argsort(-scores, kind="stable")[:K]
        assert found[row, : len(best)].tolist() == past[best].tolist()
        assert sims[row, : len(best)].tolist() == scores[best].tolist()


def test_pca_keeps_similarities_and_has_one_sign() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(50, 4, generator=generator) @ torch.randn(4, 12, generator=generator)
    reduced = pca(vectors, 4)
    centred = torch.nn.functional.normalize(vectors - vectors.mean(dim=0), dim=1)
    torch.testing.assert_close(reduced @ reduced.T, centred @ centred.T, atol=1e-4, rtol=0)
    for order in (torch.arange(11, -1, -1), torch.arange(12).roll(5), torch.arange(12).roll(7)):
        torch.testing.assert_close(pca(vectors[:, order], 4), reduced, atol=1e-4, rtol=0)


def test_pca_refuses_what_it_cannot_reduce() -> None:
    with pytest.raises(ValueError, match="lower dim"):
        pca(torch.zeros(5, 3), 4)
    with pytest.raises(ValueError, match="NaN"):
        pca(torch.full((5, 3), torch.nan), 2)


# Model and training


def codes() -> torch.Tensor:
    """[ITEMS, 3]: the first code decides what is liked in `rows`."""
    i = torch.arange(ITEMS)
    return torch.stack([i % 6, i // 6 % 4, i % 8], dim=1)


def rows(n: int = 3000, seed: int = 0, items: int = ITEMS) -> Samples:
    """A target is liked if the history holds its first code; the second label is often unknown."""
    rng = np.random.default_rng(seed)
    topk, target = rng.integers(0, items, (n, K)), rng.integers(0, items, n)
    topk = np.where(np.arange(K) < rng.integers(3, K + 1, (n, 1)), topk, -1).astype(np.int32)
    alike = ((topk % 6 == target[:, None] % 6) & (topk >= 0)).any(axis=1)
    liked = (rng.random(n) < np.where(alike, 0.9, 0.1)).astype(np.float32)
    second = np.where(rng.random(n) < 0.3, 1 - liked, np.nan)
    labels = np.stack([liked, second], axis=1).astype(np.float32)
    return Samples(target, topk, np.zeros((n, K)), labels, rng.integers(0, 99, n), target % 50, np.arange(n))


def ranker(**other: object) -> Ranker:
    settings = {"n_items": ITEMS, "tasks": ("click", "purchase"), "code_sizes": SIZES, **QARM_V2, **other}
    model = Ranker(**settings)  # type: ignore[arg-type]  # a test names settings freely
    if settings["code_sizes"]:
        model.set_codes(codes())
    return model.eval()


def trained(model: Ranker, data: Samples, *, seed: int = 0, epochs: int = 6) -> Ranker:
    fit(model, data, seed=seed, epochs=epochs, batch_size=128, lr=1e-2, valid_share=0.2, patience=2)
    return model


def same(a: Ranker, b: Ranker) -> bool:
    other = b.state_dict()
    return all(torch.equal(value, other[name]) for name, value in a.state_dict().items())


@pytest.fixture(scope="module")
def model() -> Ranker:
    return trained(ranker(), rows())


def test_the_model_learns_what_users_like(model: Ranker) -> None:
    test = rows(1000, seed=9)
    predicted = predict(model, test)
    assert predicted.shape == (1000, 2)
    assert metrics.auc(test.labels[:, 0], predicted[:, 0]) > 0.75
    assert metrics.auc(test.labels[:, 1], predicted[:, 1]) > 0.75


def test_the_same_seed_gives_the_same_weights() -> None:
    data = rows(400)
    one, other = trained(ranker(), data, epochs=2), trained(ranker(), data, epochs=2)
    assert same(one, other)
    assert not same(one, trained(ranker(), data, seed=1, epochs=2))


def test_training_does_not_depend_on_the_order_of_rows() -> None:
    data = rows(400)
    shuffled = data.take(np.random.default_rng(4).permutation(400))
    assert same(trained(ranker(), data, epochs=1), trained(ranker(), shuffled, epochs=1))


def test_an_unknown_label_teaches_nothing() -> None:
    logits = torch.zeros(2, 2, requires_grad=True)
    loss_of(logits, torch.tensor([[1.0, torch.nan], [torch.nan, torch.nan]])).sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.ne(0).tolist() == [[True, False], [False, False]]


def test_the_latest_rows_judge_and_are_not_trained_on() -> None:
    data = rows(100).take(np.random.default_rng(0).permutation(100))
    train, valid = split_by_time(data, 0.2)
    assert len(valid) == 20
    assert train.ts.max() < valid.ts.min()


def test_training_keeps_the_best_epoch_and_tells_its_curve() -> None:
    model, data, steps = ranker(), rows(600), list[tuple[int, int]]()
    curve = fit(
        model, data, seed=0, epochs=30, batch_size=64, lr=0.05, valid_share=0.3, patience=2,
        progress=lambda done, most: steps.append((done, most)),
    )  # fmt: skip
    best = max(point.valid_auc for point in curve)
    assert len(curve) < 30
    assert curve[-3].valid_auc == best  # patience: two epochs without a better one
    valid = split_by_time(data, 0.3)[1]
    predicted = predict(model, valid)
    kept = np.mean([metrics.auc(valid.labels[:, task], predicted[:, task]) for task in (0, 1)])
    assert kept == pytest.approx(best)
    assert steps[-1] == (len(curve) * 7, 30 * 7)


def test_validation_rows_of_one_class_do_not_stop_training() -> None:
    data = rows(200)
    data.labels[:] = 1.0
    curve = fit(ranker(), data, seed=0, epochs=3, batch_size=64, lr=1e-2, valid_share=0.2, patience=1)
    assert len(curve) == 3


def test_rows_without_a_label_are_refused() -> None:
    data = rows(50)
    data.labels[:] = np.nan
    with pytest.raises(ValueError, match="label"):
        trained(ranker(), data)


def test_no_rows_give_no_predictions(model: Ranker) -> None:
    assert predict(model, rows(10).take(ints())).shape == (0, 2)


def test_padding_and_similarities_at_padding_change_nothing(model: Ranker) -> None:
    data = rows(50)
    longer = np.concatenate([data.topk, np.full((50, 4), -1)], axis=1)
    noise = np.concatenate([data.sims, np.ones((50, 4))], axis=1)
    wide = Samples(data.target, longer, noise, data.labels, data.history_length, data.groups, data.ts)
    np.testing.assert_allclose(predict(model, wide), predict(model, data), atol=1e-6)


def test_an_empty_history_has_a_prediction(model: Ranker) -> None:
    data = rows(5)
    data.topk[:] = -1
    assert np.isfinite(predict(model, data)).all()


def test_an_item_never_trained_on_is_the_unknown_item_with_its_own_codes() -> None:
    model = trained(ranker(), rows(items=ITEMS - 12))
    assert model.known[: ITEMS - 12].all()
    assert not model.known[ITEMS - 12 :].any()
    cold = torch.arange(ITEMS - 12, ITEMS)
    by_hand = model.ids.weight[ITEMS].repeat(12, 1)
    for level, table in enumerate(model.levels):
        by_hand = by_hand + table(model.codes[cold, level])
    torch.testing.assert_close(model.embed(cold), by_hand)
    data = rows(2000, seed=3)
    is_cold = data.target >= ITEMS - 12
    assert metrics.auc(data.labels[is_cold, 0], predict(model, data)[is_cold, 0]) > 0.7


def test_without_semantic_ids_all_cold_items_look_alike() -> None:
    model = trained(ranker(**DIN), rows(items=ITEMS - 12), epochs=1)
    cold = model.embed(torch.tensor([ITEMS - 1, ITEMS - 2]))
    assert torch.equal(cold[0], cold[1])


def test_din_does_not_look_at_similarities() -> None:
    model, data = ranker(**DIN), rows(20)
    before = predict(model, data)
    data.sims[:] = 0.9
    assert np.array_equal(predict(model, data), before)


def test_qarm_looks_at_similarities(model: Ranker) -> None:
    data = rows(20)
    before = predict(model, data)
    data.sims[:] = 0.9
    assert not np.allclose(predict(model, data), before)


def test_codes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="expected"):
        ranker().set_codes(codes()[:-1])
    with pytest.raises(ValueError, match="beyond"):
        ranker().set_codes(codes() + 1)


def test_a_saved_model_predicts_the_same(model: Ranker, tmp_path: Path) -> None:
    save(model, tmp_path)
    assert np.array_equal(predict(load(tmp_path), rows(50)), predict(model, rows(50)))


def test_yesterdays_model_scores_todays_items_as_it_did_under_their_new_index(model: Ranker) -> None:
    order = torch.randperm(ITEMS, generator=torch.Generator().manual_seed(0))
    old_index = torch.cat([order, torch.tensor([-1, -1])])  # two new items, all others moved
    today = reindexed(model, old_index)
    new_of = torch.argsort(order).numpy()
    data = rows(50)
    moved = Samples(
        new_of[data.target], np.where(data.topk < 0, -1, new_of[data.topk]), data.sims, data.labels,
        data.history_length, data.groups, data.ts,
    )  # fmt: skip
    assert np.array_equal(predict(today, moved), predict(model, data))
    assert not today.known[ITEMS:].any()


def test_a_new_item_keeps_the_codes_it_is_given(model: Ranker) -> None:
    given = torch.cat([codes(), torch.tensor([[2, 1, 7]])])
    today = reindexed(model, torch.arange(-1, ITEMS).roll(-1), given)
    assert today.codes[ITEMS].tolist() == [2, 1, 7]
