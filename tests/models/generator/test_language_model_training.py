"""Training of a language model on the tasks: what it learns, seeds, interruptions, workers, divergence."""

import json
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.generator.language_model import CodeLanguageModel
from models.generator.language_model_files import load_saved, save
from models.generator.language_model_lists import generate, history_prompts, query_prompts
from models.generator.language_model_training import Plan, fit
from models.generator.tasks import LC_REC, PRESETS, SEMANTIC_CONVERGENCE, Task
from models.generator.trie import CodeTrie
from tests.models.generator import shop
from tests.models.generator.test_generator_training import Memory

PLAN = Plan(epochs=2, steps=2, rows_per_batch=20, tokens_at_once=500, lr=1e-2, valid_users=9, patience=9, seed=0)
HISTORIES = shop.histories()
DATA = shop.data(histories=HISTORIES, ends=HISTORIES.offsets[1:] - 1)  # the last event of each user is for validation


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shop.save_lm(tmp_path / "lm")


def weights(model: CodeLanguageModel) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in model.named_parameters()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(value.equal(b[name]) for name, value in a.items())


@pytest.mark.parametrize(("preset", "rank", "lr"), [("lc_rec", None, 5e-3), ("semantic_convergence", 4, 2e-2)])
def test_a_preset_learns_a_toy_catalogue_and_its_folder_gives_the_same_lists(
    folder: Path, tmp_path: Path, preset: str, rank: int | None, lr: float
) -> None:
    model, tokens = shop.tunable(folder, rank=rank)
    curve = fit(model, tokens, DATA, PRESETS[preset], replace(PLAN, steps=20, epochs=6, rows_per_batch=48, lr=lr))
    assert curve[-1].train_loss < 0.6 * curve[1].train_loss  # adapters learn few of the random words
    assert curve[-1].valid_loss < 0.3 * curve[0].valid_loss
    save(model, tokens.tokenizer, tmp_path / "saved")
    again, _ = load_saved(str(tmp_path / "saved"), bf16=False)
    users, trie = np.arange(shop.N), CodeTrie.build(shop.code_tensor().to(model.device))
    prompts = history_prompts(tokens, HISTORIES, users, HISTORIES.offsets[users] + 3, limit=model.max_tokens)
    lists = [
        generate(trained, trie, prompts, beam=4, tokens_per_batch=200, excluded=(np.arange(shop.N + 1), users))
        for trained in (model, again.eval())
    ]
    assert lists[0].items[:, 0].tolist() == [(user + 3) % shop.N for user in users]
    assert lists[1].items.equal(lists[0].items)
    assert all(user not in row for user, row in zip(users, lists[0].items.tolist(), strict=True))  # it is excluded


def test_it_learns_what_a_query_means(folder: Path) -> None:
    model, tokens = shop.tunable(folder, rank=None)
    tasks = [Task("query", "predict"), Task("item_to_codes", "predict")]
    fit(model, tokens, DATA, tasks, replace(PLAN, steps=40, valid_users=0))
    prompts = query_prompts(tokens, ["green chair", "red mug"], limit=model.max_tokens)
    assert shop.score_items(model, prompts, shop.code_tensor()).argmax(1).tolist() == [2, 0]


def test_the_same_seed_gives_the_same_weights(folder: Path) -> None:
    trained = []
    for seed in (0, 0, 1):
        model, tokens = shop.tunable(folder, rank=2)
        fit(model, tokens, DATA, SEMANTIC_CONVERGENCE, replace(PLAN, seed=seed, valid_users=0))
        trained.append(weights(model))
    assert same(trained[0], trained[1])
    assert not same(trained[0], trained[2])


def test_a_smaller_batch_in_memory_gives_the_same_weights(folder: Path) -> None:
    trained = []
    for tokens_at_once in (50, 100_000):
        model, tokens = shop.tunable(folder, rank=2)
        plan = replace(PLAN, tokens_at_once=tokens_at_once, epochs=1, steps=1, lr=1e-3)
        fit(model, tokens, DATA, LC_REC, replace(plan, valid_users=0))
        trained.append(torch.cat([value.flatten() for value in weights(model).values()]))
    torch.testing.assert_close(trained[0], trained[1], atol=1e-4, rtol=1e-3)


def test_a_killed_training_ends_with_the_same_weights(folder: Path) -> None:
    plan, checkpoint = replace(PLAN, epochs=3), Memory()
    undisturbed, tokens = shop.tunable(folder, rank=2)
    expected = fit(undisturbed, tokens, DATA, LC_REC, plan)

    def progress(done: int, total: int) -> None:
        if done > total * 2 // 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(shop.tunable(folder, rank=2)[0], tokens, DATA, LC_REC, plan, progress=progress, checkpoint=checkpoint)
    resumed, _ = shop.tunable(folder, rank=2)
    assert fit(resumed, tokens, DATA, LC_REC, plan, checkpoint=checkpoint)[1:] == expected[1:]
    assert same(weights(resumed), weights(undisturbed))
    assert 0 < len(checkpoint.written[-1]) < 40 * sum(p.numel() for p in resumed.parameters() if p.requires_grad)


def test_lora_trains_adapters_and_codes_and_nothing_else(folder: Path) -> None:
    before = dict(shop.lm().named_parameters())
    model, tokens = shop.tunable(folder, rank=2)
    start = model.output_rows.detach().clone()
    fit(model, tokens, DATA, LC_REC, replace(PLAN, valid_users=0))
    for name, parameter in model.model.named_parameters():
        if ".lora_" not in name:
            assert parameter.cpu().equal(before[name.replace(".base_layer", "")])
    assert not model.output_rows.equal(start)


def test_it_trains_in_bfloat16(folder: Path) -> None:
    for rank, kept in ((None, torch.float32), (2, torch.bfloat16)):
        model, tokens = shop.tunable(folder, rank=rank, bf16=True)
        curve = fit(model, tokens, DATA, LC_REC, replace(PLAN, steps=4))
        assert curve[-1].valid_loss < curve[0].valid_loss
        assert {p.dtype for name, p in model.model.named_parameters() if ".lora_" not in name} == {kept}
        assert model.input_rows.dtype == torch.float32


def test_a_model_that_gets_worse_is_left_as_it_was(folder: Path) -> None:
    model, tokens = shop.tunable(folder, rank=2)
    fit(model, tokens, DATA, LC_REC, replace(PLAN, steps=20))
    before = {name: value.clone() for name, value in weights(model).items()}
    curve = fit(model, tokens, DATA, LC_REC, replace(PLAN, steps=3, epochs=5, lr=3.0, patience=2))
    assert [epoch.epoch for epoch in curve] == [0, 1, 2]
    assert same(weights(model), before)


def train_worker(worker: int, workers: int, folder: Path) -> None:
    dist.init_process_group("gloo", f"file://{folder}/rendezvous", rank=worker, world_size=workers)
    model, code_tokens = shop.tunable(folder / "lm", rank=2)
    measured, answer_loss = [], model.answer_loss

    def measure(tokens: Tensor, is_answer: Tensor) -> Tensor:
        measured.extend([len(tokens)] if not model.training else [])
        return answer_loss(tokens, is_answer) + (0 if model.training else worker)  # as if GPUs disagreed

    with patch.object(model, "answer_loss", measure):
        curve = fit(model, code_tokens, DATA, LC_REC, PLAN)
    save_file(weights(model), folder / f"{worker}.safetensors")
    report = {"measured": sum(measured), "valid_losses": [epoch.valid_loss for epoch in curve]}
    (folder / f"{worker}.json").write_text(json.dumps(report))
    dist.barrier()  # a worker that leaves early may abort the other one


def test_two_workers_get_the_weights_of_one_and_share_the_validation_users(folder: Path, tmp_path: Path) -> None:
    model, tokens = shop.tunable(folder, rank=2)
    curve = fit(model, tokens, DATA, LC_REC, PLAN)
    mp.spawn(train_worker, (2, tmp_path), nprocs=2)  # type: ignore[no-untyped-call]  # torch gives it no types
    first, second = (load_file(tmp_path / f"{worker}.safetensors") for worker in range(2))
    assert same(first, second)
    for name, value in weights(model).items():
        torch.testing.assert_close(first[name], value.cpu(), atol=1e-3, rtol=1e-2)
    reports = [json.loads((tmp_path / f"{worker}.json").read_text()) for worker in range(2)]
    assert reports[0]["valid_losses"] == reports[1]["valid_losses"]
    expected = [epoch.valid_loss + 4 / 9 for epoch in curve]  # the second worker has four of the nine users
    assert reports[0]["valid_losses"] == pytest.approx(expected, rel=1e-2)
    assert [report["measured"] for report in reports] == [5 * len(curve), 4 * len(curve)]


def test_training_that_diverges_is_reported(folder: Path) -> None:
    model, tokens = shop.tunable(folder, rank=None)
    model.input_rows.data.fill_(np.nan)
    with pytest.raises(FloatingPointError, match="step 1"):
        fit(model, tokens, DATA, LC_REC, replace(PLAN, valid_users=0))
