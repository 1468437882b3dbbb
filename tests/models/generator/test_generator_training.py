"""Training: negatives, seeds, interruptions, workers, bfloat16 and histories that cannot be trained on."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load, load_file, save_file

from models.generator import PRESETS, Design, Generator, fit
from models.generator.batches import read_batch, split_histories
from models.generator.heads import sampled_softmax
from models.generator.losses import compute_loss
from models.generator.queries import draw_queries
from models.generator.recommend import build_trie
from models.generator.scoring import score_all
from models.training.optimizers import sparse_tables
from tests.models.generator.toy import (
    ITEMS,
    build_generator,
    ends_before_last,
    have_same_weights,
    make_codes,
    make_histories,
    shrink,
    train,
)

DESIGN = shrink(PRESETS["sidereal"])


class Memory:
    """A checkpoint in memory."""

    seconds = 0.0

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def read(self) -> bytes | None:
        return self.written[-1] if self.written else None

    def write(self, content: bytes) -> None:
        self.written.append(content)


def test_a_target_is_never_its_own_negative() -> None:
    states, negatives, targets = torch.randn(3, 8), torch.randn(5, 8), torch.randn(3, 8)
    targets[0], targets[2] = negatives[2], negatives[4]
    losses = sampled_softmax(states, negatives, targets, torch.tensor([2, -1, 4]))
    for state, excluded in enumerate([{2}, set(), {4}]):
        others = [number for number in range(5) if number not in excluded]
        scores = torch.stack([targets[state], *negatives[others]]) @ states[state]
        torch.testing.assert_close(losses[state], -scores.log_softmax(0)[0])
    alone = sampled_softmax(states[:1], targets[:1], targets[:1], torch.tensor([0]))
    assert alone.tolist() == [0.0]


@pytest.mark.parametrize("name", ["sidereal", "tiger"])
def test_a_killed_training_ends_with_the_same_weights(name: str) -> None:
    design, checkpoint = shrink(PRESETS[name]), Memory()
    undisturbed, resumed = build_generator(design), build_generator(design)
    expected = train(undisturbed, make_histories(), epochs=3)

    def progress(done: int, total: int) -> None:
        if done > total * 2 // 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(build_generator(design), make_histories(), epochs=3, checkpoint=checkpoint, progress=progress)
    assert train(resumed, make_histories(), epochs=3, checkpoint=checkpoint) == expected
    assert have_same_weights(resumed, undisturbed)


def test_short_epochs_are_saved_together_and_the_end_is_saved_once() -> None:
    checkpoint = Memory()
    checkpoint.seconds = 3600.0
    for _ in range(2):
        train(build_generator(DESIGN), make_histories(), epochs=3, checkpoint=checkpoint)
    assert [len(load(content)["curve"]) for content in checkpoint.written] == [3]


def test_an_average_of_the_epochs_is_kept() -> None:
    checkpoint, model = Memory(), build_generator(DESIGN)
    train(model, make_histories(), epochs=3, valid_users=0, checkpoint=checkpoint)
    epochs = [load(content) for content in checkpoint.written]
    for name, value in model.state_dict().items():
        first, second, third = (epoch[f"model.{name}"] for epoch in epochs)
        mean = first / 4 + second / 4 + third / 2 if value.is_floating_point() else third
        torch.testing.assert_close(value, mean)


def test_the_same_seed_gives_the_same_weights() -> None:
    models = [build_generator(DESIGN) for _ in range(3)]
    for model, seed in zip(models, (0, 0, 1), strict=True):
        train(model, make_histories(), epochs=2, seed=seed)
    assert have_same_weights(models[0], models[1])
    assert not have_same_weights(models[0], models[2])


def test_two_threads_that_add_up_the_gradients_of_the_same_codes_give_the_same_weights_each_time() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        models = [build_generator(shrink(PRESETS["sidereal"])) for _ in range(5)]
        for model in models:
            train(model, make_histories(users=600), epochs=1, tokens=8192)
    finally:
        torch.set_num_threads(threads)
    assert all(have_same_weights(models[0], model) for model in models)


def test_a_trained_model_that_cannot_become_better_keeps_its_weights() -> None:
    model = build_generator(DESIGN)
    train(model, make_histories())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    curve = train(model, make_histories(), epochs=9, patience=1, lr=1.0)
    assert [point.epoch for point in curve] == [0, 1]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_loss_of_codes_is_what_the_beam_says_of_the_next_items() -> None:
    model, codes, items = build_generator(replace(DESIGN, heads=("codes",))), make_codes(), np.arange(ITEMS)
    has_codes = (items % 4 != 1) & ((items % 4 != 2) | (items // 4 % 4 != 1)) & (items % 7 != 0)
    codes[~has_codes] = -1  # some codes of each level lead to no item after some prefixes
    model.items.set_codes(codes)
    histories = make_histories(users=9, longest=DESIGN.length)
    trie, users = build_trie(model), np.arange(9)
    sequences = split_histories(histories, histories.offsets[1:], model.design.length)
    batch = read_batch(histories, sequences, following=1)
    loss = compute_loss(model, batch, torch.tensor([0]), trie)
    expected = 0.0
    for place in range(int(np.diff(histories.offsets).max())):
        rows = users[np.diff(histories.offsets) > place]
        ends = histories.offsets[rows] + place
        states = model.encode(histories, rows, ends)
        scores = score_all(trie, model.step(states), users=len(rows), renormalise=True)
        next_items = histories.items[ends].astype(np.int64)
        expected -= float(scores[range(len(rows)), next_items][has_codes[next_items]].sum())
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_a_query_adds_a_pair_of_its_own_to_the_loss() -> None:
    model, histories = build_generator(DESIGN), make_histories(users=9)
    sequences = split_histories(histories, histories.offsets[1:], model.design.length)
    batch = read_batch(histories, sequences, following=1)
    nothing = batch.take(np.zeros(0, np.int64))
    queries = draw_queries(model.items, np.arange(ITEMS), 4, np.random.default_rng(0))
    losses = [
        float(compute_loss(model, events, torch.tensor([1, 5]), build_trie(model), asked))
        for events, asked in ((batch, queries), (batch, None), (nothing, queries))
    ]
    assert losses[0] == pytest.approx(losses[1] + losses[2], rel=1e-4)
    assert losses[2] > 0


def test_a_step_updates_only_the_rows_that_it_reads() -> None:
    design = replace(DESIGN, heads=("items",))
    model, histories = build_generator(design), make_histories(users=3)
    model.items.known[:-1] = True
    sequences = split_histories(histories, histories.offsets[1:], design.length)
    batch = read_batch(histories, sequences, following=1)
    negatives = torch.tensor([1, 5])
    torch.autograd.backward(compute_loss(model.eval(), batch, negatives, None))
    items, read = {1, 5, *histories.items.tolist()}, []
    for table in sparse_tables(model):
        assert table.grad is not None
        read.append(set(table.grad.coalesce().indices()[0].tolist()))
    words = model.items.words_of(torch.tensor(sorted(items))).numbers
    assert read == [items, set(words.tolist())]
    assert len(items) < ITEMS


def test_training_in_bfloat16_ends_near_training_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    curves = []
    for bf16 in (False, True):
        kind = torch.autocast("cpu", torch.bfloat16, enabled=bf16)
        for name in ("training", "model"):
            monkeypatch.setattr(f"models.generator.{name}.mixed_precision", lambda _, on_cpu=False, kind=kind: kind)
        model = build_generator(DESIGN)
        curves.append(train(model, make_histories(), epochs=6)[-1])
        assert {weights.dtype for weights in model.parameters()} == {torch.float32}
    full, short = curves
    assert full.train_loss != short.train_loss
    assert short.train_loss == pytest.approx(full.train_loss, rel=0.1)
    assert short.recall_at_10 > 0.9


def train_exactly() -> Generator:
    """A model whose weights do not depend on how a batch is shared: without dropout, in float32."""
    model = build_generator(replace(DESIGN, dropout=0.0, block_dropout=0.0, id_dropout=0.0))
    with patch("models.generator.training.mixed_precision", lambda device, on_cpu: nullcontext()):
        train(model, make_histories(users=60), epochs=2)
    return model


def train_worker(worker: int, workers: int, folder: Path) -> None:
    dist.init_process_group("gloo", f"file://{folder}/rendezvous", rank=worker, world_size=workers)
    torch.set_num_threads(1)
    model = train_exactly()
    save_file(model.state_dict(), folder / f"{worker}.safetensors")
    dist.destroy_process_group()


def test_two_workers_get_the_weights_of_one(tmp_path: Path) -> None:
    model = train_exactly()
    mp.spawn(train_worker, (2, tmp_path), nprocs=2)  # type: ignore[no-untyped-call]  # torch gives it no types
    first, second = (load_file(tmp_path / f"{worker}.safetensors") for worker in range(2))
    for name, value in model.state_dict().items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], value, atol=1e-3, rtol=0)


def test_histories_without_two_events_are_refused() -> None:
    histories = make_histories(users=4)
    model = Generator(design=shrink(Design()), n_items=ITEMS)
    options = {"seed": 0, "epochs": 1, "tokens": 64, "negatives": 8, "lr": 1e-3, "valid_users": 4, "patience": 1}
    with pytest.raises(ValueError, match="no user has two events"):
        fit(model, histories, histories.offsets[:-1] + 1, **options)  # type: ignore[arg-type]
    assert len(fit(model, histories, histories.offsets[1:], **options)) == 1  # type: ignore[arg-type]  # no validation


@pytest.mark.parametrize("name", ["sidereal", "tiger", "rpg"])
def test_batches_without_a_next_item_that_has_codes_are_trained_on(name: str) -> None:
    model = build_generator(shrink(PRESETS[name]))
    codes = make_codes()
    codes[1:] = -1
    model.items.set_codes(codes)
    curve = train(model, make_histories(users=20), epochs=1, tokens=8)  # a batch has few sequences
    assert np.isfinite(curve[0].train_loss)


def test_without_validation_users_the_last_epoch_is_kept() -> None:
    model = build_generator(DESIGN)
    curve = train(model, make_histories(), epochs=2, valid_users=0)
    assert np.isnan([point.score for point in curve]).all()
    other = build_generator(DESIGN)
    assert ends_before_last(make_histories()).any()
    train(other, make_histories(), epochs=2)
    assert have_same_weights(model, other)
