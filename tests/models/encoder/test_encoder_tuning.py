"""Training on pairs: the cached gradient, several workers, an interruption, and what the batches contain."""

from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from models.distributed import sum_gradients
from models.encoder import retrieval
from models.encoder.contrastive_loss import Encoded, backward, contrastive_loss
from models.encoder.pair_batches import Int64s, Partners, draw_batches
from models.encoder.retrieval import hit_rates
from models.encoder.tuning import Plan, _shared_batches, tune

ITEMS = 40


class Toy(nn.Module):
    """An encoder with answers: the answer is the item itself, which must be recognised from its vector."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.table = nn.Embedding(ITEMS, 16)
        self.layers = nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 8))
        self.head = nn.Linear(8, ITEMS)

    def forward(self, items: torch.Tensor) -> Encoded:
        vectors = self.layers(self.table(items))
        has_answers = items % 3 == 0
        nll = F.cross_entropy(self.head(vectors[has_answers]), items[has_answers], reduction="sum")
        return Encoded(vectors, nll, int(has_answers.sum()))


def collate(items: Int64s) -> torch.Tensor:
    return torch.from_numpy(items)


def pairs() -> Int64s:
    """Items with the same remainder by 8 belong together."""
    return np.array([(a, b) for a in range(ITEMS) for b in range(a + 1, ITEMS) if a % 8 == b % 8], np.int64)


def plan(**changes: float) -> Plan:
    settings = {"steps": 12, "items_per_batch": 20, "items_per_chunk": 20, "lr": 0.02, "temperature": 0.1}
    return Plan(**(settings | {"answer_weight": 0.5, "seed": 3} | changes))  # type: ignore[arg-type]  # a test's shorthand


def gradients(model: nn.Module, items: Int64s, chunk: int) -> list[torch.Tensor]:
    chunks = [collate(items[start : start + chunk]) for start in range(0, len(items), chunk)]
    positive = torch.from_numpy(Partners(pairs(), ITEMS).matrix(items))
    model.zero_grad()
    backward(model, chunks, positive, temperature=0.1, answer_weight=0.5, seed=5)
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def test_the_cached_gradient_is_that_of_the_whole_batch() -> None:
    model, items = Toy(), np.arange(0, 30)
    vectors, nll, tokens = model(collate(items))
    positive = torch.from_numpy(Partners(pairs(), ITEMS).matrix(items))
    (contrastive_loss(vectors, positive, temperature=0.1) + 0.5 * nll / tokens).backward()
    plain = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    for chunk in (30, 7, 1):
        for cached, whole in zip(gradients(model, items, chunk), plain, strict=True):
            torch.testing.assert_close(cached, whole, atol=1e-5, rtol=0)


def test_dropout_falls_alike_in_both_passes_of_the_cache() -> None:
    model, items = Toy(dropout=0.5), np.arange(0, 30)
    first, again = gradients(model, items, 10), gradients(model, items, 10)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    dropped = []
    model.layers[2].register_forward_hook(lambda *args: dropped.append(args[2].detach() == 0))
    gradients(model, items, 10)
    assert [bool((dropped[n] == dropped[n + 3]).all()) for n in range(3)] == [True] * 3
    assert not (dropped[0] == dropped[1]).all()


def _work(worker: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=worker, world_size=2)
    model, items = Toy(), np.arange(0, 30)
    part = items[worker * 15 : worker * 15 + 15]
    positive = torch.from_numpy(Partners(pairs(), ITEMS).matrix(items))
    backward(model, [collate(part[:10]), collate(part[10:])], positive, temperature=0.1, answer_weight=0.5, seed=5)
    sum_gradients(list(model.parameters()))
    trained = Toy()
    if worker:
        nn.init.normal_(trained.head.weight)  # all workers must start from the weights of worker 0
    tune(trained, collate, pairs(), ITEMS, plan(steps=4))
    tensors = {f"g{n}": p.grad for n, p in enumerate(model.parameters())} | trained.state_dict()
    save_file({name: value for name, value in tensors.items() if value is not None}, folder / f"{worker}.safetensors")
    dist.barrier()  # a worker that leaves early may abort the other one
    dist.destroy_process_group()


def test_two_workers_get_the_gradient_and_the_weights_of_one_with_the_joint_batch(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_work, (tmp_path,), nprocs=2)  # type: ignore[no-untyped-call]  # torch gives it none
    workers = [load_file(tmp_path / f"{worker}.safetensors") for worker in range(2)]
    model = Toy()
    expected = {f"g{n}": grad for n, grad in enumerate(gradients(model, np.arange(0, 30), 30))}
    tune(trained := Toy(), collate, pairs(), ITEMS, plan(steps=4))
    for name, value in (expected | trained.state_dict()).items():
        torch.testing.assert_close(workers[0][name], value, atol=1e-5, rtol=0)
        assert torch.equal(workers[0][name], workers[1][name])


def test_a_batch_that_is_too_short_for_all_workers_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 3)
    known = np.array([(0, 1), (0, 2), (1, 2), (3, 4)])  # a batch of three items, and one of two
    shared = list(islice(_shared_batches(Partners(known, 5), plan(items_per_batch=3)), 4))
    assert [batch.tolist() for batch in shared] == [[0, 1, 2]] * 4
    assert list(_shared_batches(Partners(known[3:], 5), plan())) == []


class StopError(Exception):
    pass


def _stop_at(step: int, done: int, _: int) -> None:
    if done == step:
        raise StopError


def test_an_interrupted_training_ends_in_the_very_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.encoder.tuning.SAVE_EVERY", 3)
    whole, stopped = Toy(dropout=0.2), Toy(dropout=0.2)
    tune(whole, collate, pairs(), ITEMS, plan(steps=6))
    with pytest.raises(StopError):
        tune(
            stopped, collate, pairs(), ITEMS, plan(steps=6),
            checkpoint=tmp_path / "kept.safetensors", progress=partial(_stop_at, 4),
        )  # fmt: skip
    again = Toy(dropout=0.2)
    done_again = tune(again, collate, pairs(), ITEMS, plan(steps=6), checkpoint=tmp_path / "kept.safetensors")
    assert len(done_again) == 3
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True))


def test_training_brings_partners_together() -> None:
    model = Toy()
    all_items = torch.arange(ITEMS)

    def measure_hit_rate() -> float:
        vectors = F.normalize(model.eval()(all_items).vectors.detach(), dim=1).numpy()
        return hit_rates(vectors, pairs(), (4,))[4]

    before = measure_hit_rate()
    curve = tune(model, collate, pairs(), ITEMS, plan(steps=90, answer_weight=0.0))
    assert curve[-1].contrastive < curve[0].contrastive / 2
    assert measure_hit_rate() > max(0.9, before)


def test_neither_a_partner_nor_a_partners_partner_is_a_negative() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(6, 4), dim=1)
    positive = torch.zeros(6, 6, dtype=torch.bool)
    positive[0, 1] = positive[1, 0] = positive[0, 2] = positive[2, 0] = positive[2, 5] = positive[5, 2] = True
    expected = []
    scores = (vectors @ vectors.T / 0.1).exp()
    negatives = {0: [3, 4], 1: [3, 4, 5], 2: [3, 4], 5: [1, 3, 4]}
    for a, b in ((0, 1), (0, 2), (1, 0), (2, 0), (2, 5), (5, 2)):
        expected.append(-torch.log(scores[a, b] / (scores[a, b] + scores[a, negatives[a]].sum())))
    torch.testing.assert_close(contrastive_loss(vectors, positive, temperature=0.1), torch.stack(expected).mean())


def test_an_epoch_holds_every_item_that_has_a_partner_and_each_item_has_one_in_its_batch() -> None:
    known = pairs()[pairs().max(axis=1) < 32]
    partners = Partners(known, ITEMS)
    epoch = list(draw_batches(partners, items_per_batch=10, seed=1, epoch=0))
    assert set(np.concatenate(epoch)) == set(range(32))
    assert all(len(batch) <= 10 and (np.diff(batch) > 0).all() for batch in epoch)
    assert all(partners.matrix(batch).any(axis=1).all() for batch in epoch)
    other = list(draw_batches(partners, items_per_batch=10, seed=1, epoch=1))
    assert [batch.tolist() for batch in epoch] != [batch.tolist() for batch in other]
    shuffled = Partners(np.random.default_rng(0).permutation(known)[:, ::-1], ITEMS)
    again = list(draw_batches(shuffled, items_per_batch=10, seed=1, epoch=0))
    assert [batch.tolist() for batch in again] == [batch.tolist() for batch in epoch]


def test_an_item_as_similar_as_the_partner_comes_before_it() -> None:
    vectors = np.array([[1, 0], [0.8, 0.6], [0.8, 0.6], [0, 1]], np.float32)
    pair = np.array([[0, 1]])
    assert hit_rates(vectors, pair, (1, 2)) == {1: 0.0, 2: 1.0}


def test_a_hit_rate_does_not_depend_on_how_many_scores_are_computed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = F.normalize(torch.randn(ITEMS, 4, generator=torch.Generator().manual_seed(0)), dim=1).numpy()
    whole = hit_rates(vectors, pairs(), (1, 10), known=pairs()[::2])
    monkeypatch.setattr(retrieval, "SCORES_AT_ONCE", 3 * ITEMS)
    sizes, partners_of_each = list[int](), Partners.partners_of_each

    def record_size(self: Partners, items: Int64s) -> tuple[Int64s, Int64s]:
        sizes.append(len(items))
        return partners_of_each(self, items)

    monkeypatch.setattr(Partners, "partners_of_each", record_size)
    assert hit_rates(vectors, pairs(), (1, 10), known=pairs()[::2]) == whole
    assert max(sizes) == 3


def test_a_known_partner_does_not_come_before_the_partner_that_is_searched_for() -> None:
    vectors = np.array([[1, 0], [0.9, 0.436], [0.8, 0.6], [0, 1]], np.float32)
    pair, known = np.array([[0, 2]]), np.array([[1, 0], [2, 3]])
    assert hit_rates(vectors, pair, (1,)) == {1: 0.0}
    assert hit_rates(vectors, pair, (1,), known=known) == {1: 0.5}  # 0 finds 2; 2 finds 1 first
    assert hit_rates(vectors, pair, (1,), known=np.concatenate([known, pair])) == {1: 0.5}


def test_vectors_of_nan_find_nothing() -> None:
    assert hit_rates(np.full((ITEMS, 2), np.nan, np.float32), pairs(), (10,)) == {10: 0.0}
