"""The ranking model: unknown items, unknown labels, repeatable training."""

from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from models import metrics
from models.ranker import PRESETS, Design, Epoch, Ranker, Samples, fit, load, predict, reindex_items, save
from models.ranker.training import compute_loss
from models.ranker.training_rows import TrainingRows
from tests.models.ranker.examples import ITEMS, K, build_ranker, have_same_weights, make_codes, make_rows, train_ranker


@pytest.fixture(scope="module")
def model() -> Ranker:
    return train_ranker(build_ranker(), make_rows())


def test_the_model_learns_what_users_like(model: Ranker) -> None:
    test = make_rows(1000, seed=9)
    predicted = predict(model, test)
    assert predicted.shape == (1000, 2)
    assert metrics.auc(test.labels[:, 0], predicted[:, 0]) > 0.75
    assert metrics.auc(test.labels[:, 1], predicted[:, 1]) > 0.75


def test_the_same_seed_gives_the_same_weights() -> None:
    data = make_rows(400)
    model, again = train_ranker(build_ranker(), data, epochs=2), train_ranker(build_ranker(), data, epochs=2)
    assert have_same_weights(model, again)
    assert not have_same_weights(model, train_ranker(build_ranker(), data, seed=1, epochs=2))


class MemoryCheckpoint:
    """A checkpoint in memory. The training dies after so many writes."""

    seconds = 0.0

    def __init__(self, dies_after: int) -> None:
        self.content: bytes | None = None
        self.writes_left = dies_after

    def read(self) -> bytes | None:
        return self.content

    def write(self, content: bytes) -> None:
        self.content = content
        self.writes_left -= 1
        if not self.writes_left:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("dies_after", "warm"), [(1, False), (2, False), (3, False), (2, True)])
def test_a_training_that_was_killed_resumes_and_ends_with_the_same_weights(dies_after: int, warm: bool) -> None:
    start = build_ranker(design=replace(PRESETS["qarm_v1"], features=("item_id", "semantic_id")))
    if warm:
        train_ranker(start, make_rows(), epochs=1)

    def fit_copy(checkpoint: MemoryCheckpoint | None) -> tuple[Ranker, list[Epoch]]:
        model = deepcopy(start)
        return model, fit(
            model,
            make_rows(),
            seed=3,
            epochs=4,
            batch_size=256,
            lr=1e-2,
            valid_share=0.2,
            patience=4,
            checkpoint=checkpoint,
        )

    checkpoint = MemoryCheckpoint(dies_after)
    undisturbed, curve = fit_copy(None)
    assert [point.epoch for point in curve] == [*range(1 - warm, 5)]
    with pytest.raises(KeyboardInterrupt):
        fit_copy(checkpoint)
    resumed, same_curve = fit_copy(checkpoint)
    assert str(same_curve) == str(curve)  # as text: a warm start has the training loss NaN
    assert have_same_weights(resumed, undisturbed)


def test_a_warm_start_without_validation_rows_keeps_its_last_epoch() -> None:
    start = train_ranker(build_ranker(), make_rows(), epochs=1)
    model = deepcopy(start)
    fit(model, make_rows(), seed=1, epochs=1, batch_size=128, lr=1e-2, valid_share=0.0, patience=1)
    assert not have_same_weights(start, model)


def test_training_does_not_depend_on_the_order_of_rows() -> None:
    data = make_rows(400)
    shuffled = data.take(np.random.default_rng(4).permutation(400))
    assert have_same_weights(
        train_ranker(build_ranker(), data, epochs=1), train_ranker(build_ranker(), shuffled, epochs=1)
    )


def test_an_unknown_label_has_no_gradient() -> None:
    logits = torch.zeros(2, 2, requires_grad=True)
    compute_loss(logits, torch.tensor([[1.0, torch.nan], [torch.nan, torch.nan]])).sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.ne(0).tolist() == [[True, False], [False, False]]


def test_the_latest_rows_are_for_validation_and_not_trained_on() -> None:
    data = make_rows(100).take(np.random.default_rng(0).permutation(100))
    rows = TrainingRows.split_by_time(data, 0.2)
    assert len(rows.valid) == 20
    assert data.ts[rows.train].max() < data.ts[rows.valid].min()


def test_training_keeps_the_best_epoch_and_returns_its_curve() -> None:
    model, data, steps = build_ranker(), make_rows(600), list[tuple[int, int]]()
    curve = fit(
        model, data, seed=0, epochs=30, batch_size=64, lr=0.05, valid_share=0.3, patience=2,
        progress=lambda done, total: steps.append((done, total)),
    )  # fmt: skip
    best = max(curve, key=lambda point: point.score)
    assert len(curve) < 30
    assert curve[-3] == best  # patience: two epochs without a better one
    valid = data.take(TrainingRows.split_by_time(data, 0.3).valid)
    predicted = predict(model, valid)
    gauc, loss = (
        np.mean([metric(valid.labels[:, task], predicted[:, task], valid.groups) for task in (0, 1)])
        for metric in (metrics.gauc, metrics.log_loss)
    )
    assert (gauc, loss) == pytest.approx((best.valid_gauc, best.valid_loss), abs=1e-5)
    assert steps[-1] == (len(curve) * 7, 30 * 7)


def test_a_trained_model_that_more_training_makes_worse_stays_unchanged() -> None:
    data = make_rows(600)
    fit_again = partial(fit, data=data, seed=0, epochs=8, batch_size=64, valid_share=0.3, patience=2)
    model = build_ranker()
    best = max(point.score for point in fit_again(model, lr=1e-2))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    curve = fit_again(model, lr=10.0)
    assert [point.epoch for point in curve] == [0, 1, 2]
    assert curve[0].score == pytest.approx(best, abs=2e-3)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_score_of_an_epoch_is_gauc_minus_log_loss() -> None:
    assert Epoch(1, 0.1, 0.6, 0.8, 0.7).score == pytest.approx(0.1)
    assert Epoch(1, 0.1, 0.6, 0.8, np.nan).score == pytest.approx(0.2)
    assert np.isnan(Epoch(1, 0.1, 0.6, np.nan, np.nan).score)


def test_validation_rows_of_one_class_do_not_stop_training() -> None:
    data = make_rows(200)
    data.labels[:] = 1.0
    curve = fit(build_ranker(), data, seed=0, epochs=3, batch_size=64, lr=1e-2, valid_share=0.2, patience=1)
    assert len(curve) == 3


def test_rows_without_a_label_are_refused() -> None:
    data = make_rows(50)
    data.labels[:] = np.nan
    with pytest.raises(ValueError, match="label"):
        train_ranker(build_ranker(), data)


def test_no_rows_give_no_predictions(model: Ranker) -> None:
    assert predict(model, make_rows(0)).shape == (0, 2)


def test_padding_and_similarities_at_padding_change_nothing(model: Ranker) -> None:
    data = make_rows(50)
    data.topk[:, 4:] = -1
    noise = np.concatenate([data.sims[:, :4], np.ones((50, K - 4))], axis=1)
    np.testing.assert_allclose(predict(model, replace(data, sims=noise)), predict(model, data), atol=1e-6)
    moved = replace(data, topk=np.roll(data.topk, 2, axis=1), sims=np.roll(data.sims, 2, axis=1))
    np.testing.assert_allclose(predict(model, moved), predict(model, data), atol=1e-6)


def test_an_empty_history_has_a_prediction(model: Ranker) -> None:
    data = make_rows(5)
    data.topk[:] = -1
    assert np.isfinite(predict(model, data)).all()


def test_an_item_that_only_occurs_in_the_validation_rows_is_not_known() -> None:
    data = make_rows(400)
    data.target[:320] %= ITEMS - 2
    data.topk[:320] = np.where(data.topk[:320] < 0, -1, data.topk[:320] % (ITEMS - 2))
    assert (data.target[320:] >= ITEMS - 2).any()  # the fifth for validation
    assert (data.topk[320:] >= ITEMS - 2).any()
    model = train_ranker(build_ranker(), data, epochs=1)
    assert model.known.tolist() == [True] * (ITEMS - 2) + [False] * 3


def test_an_item_never_trained_on_has_the_unknown_id_and_its_codes() -> None:
    model = train_ranker(build_ranker(), make_rows(items=ITEMS - 12))
    assert model.known[: ITEMS - 12].all()
    assert not model.known[ITEMS - 12 :].any()
    cold = torch.arange(ITEMS - 12, ITEMS)
    expected = model.ids.weight[ITEMS].repeat(12, 1)
    for level, table in enumerate(model.levels):
        expected = expected + table(model.codes[cold, level])
    torch.testing.assert_close(model.embed_items(cold), expected)
    data = make_rows(2000, seed=3)
    is_cold = data.target >= ITEMS - 12
    assert metrics.auc(data.labels[is_cold, 0], predict(model, data)[is_cold, 0]) > 0.7


def test_without_semantic_ids_all_cold_items_have_the_same_embedding() -> None:
    model = train_ranker(build_ranker(design=PRESETS["din"]), make_rows(items=ITEMS - 12), epochs=1)
    cold = model.embed_items(torch.tensor([ITEMS - 1, ITEMS - 2]))
    assert torch.equal(cold[0], cold[1])


def test_din_does_not_read_similarities() -> None:
    model, data = build_ranker(design=PRESETS["din"]), make_rows(20)
    before = predict(model, data)
    data.sims[:] = 0.9
    assert np.array_equal(predict(model, data), before)


@pytest.mark.parametrize(
    "design",
    [replace(PRESETS["qarm_v2"], extras=()), replace(PRESETS["qarm_v2"], attention="target")],
    ids=["only attention", "only tiers"],
)
def test_qarm_reads_similarities(design: Design) -> None:
    model, data = train_ranker(build_ranker(design), make_rows(300), epochs=1), make_rows(20)
    before = predict(model, data)
    data.sims[:] = 0.9
    assert np.abs(predict(model, data) - before).max() > 1e-5


def test_codes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="expected"):
        build_ranker().set_codes(make_codes()[:-1])
    with pytest.raises(ValueError, match="beyond"):
        build_ranker().set_codes(make_codes() + 1)


def test_a_saved_model_predicts_the_same(model: Ranker, tmp_path: Path) -> None:
    save(model, tmp_path)
    assert np.array_equal(predict(load(tmp_path), make_rows(50)), predict(model, make_rows(50)))


def test_yesterdays_model_scores_todays_items_as_it_did_under_their_new_index(model: Ranker) -> None:
    order = torch.randperm(ITEMS, generator=torch.Generator().manual_seed(0))
    old_index = torch.cat([order, torch.tensor([-1, -1])])  # two new items, all others in another order
    today = reindex_items(model, old_index)
    new_of = torch.argsort(order).numpy()
    data = make_rows(50)
    moved = Samples(
        new_of[data.target], np.where(data.topk < 0, -1, new_of[data.topk]), data.sims, data.labels,
        data.history_length, data.groups, data.ts,
    )  # fmt: skip
    assert np.array_equal(predict(today, moved), predict(model, data))
    assert not today.known[ITEMS:].any()


def test_a_new_item_gets_the_codes_that_are_passed(model: Ranker) -> None:
    new_codes = torch.cat([make_codes(), torch.tensor([[2, 1, 7]])])
    today = reindex_items(model, torch.arange(-1, ITEMS).roll(-1), new_codes)
    assert today.codes[ITEMS].tolist() == [2, 1, 7]
