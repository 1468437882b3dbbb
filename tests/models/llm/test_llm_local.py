"""The local language model: batches change nothing, and it is restricted to the choices."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.llm import local
from models.llm.interface import Prompt, UnusableModelError
from models.llm.judge_prompt import CHOICES
from models.token_batches import token_batches
from tests.scripted_lm import CUE, JUDGES, random_lm, scripted_lm, tokenizer

PROMPTS = [Prompt("Judge.", text) for text in ("a", "a somewhat longer item", "b c")]
WORDS = tokenizer(["Yes", "No"])


def random_model(tokens_per_batch: int) -> local.LocalModel:
    return local.LocalModel(random_lm(len(WORDS)), WORDS, tokens_per_batch)


@pytest.fixture(scope="module")
def judging(tmp_path_factory: pytest.TempPathFactory) -> local.LocalModel:
    return local.load(str(scripted_lm(tmp_path_factory.mktemp("lm"), JUDGES)), tokens_per_batch=4096)


def test_batches_contain_every_sequence_once_and_no_more_tokens_than_allowed() -> None:
    lengths = [5, 90, 7, 100, 30, 30, 200, 1]
    batches = list(token_batches(lengths, 100))
    assert sorted(index for batch in batches for index in batch) == list(range(8))
    assert all(len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= 100 for batch in batches)
    assert len(batches) == 5


def test_padding_changes_no_choice_and_no_margin() -> None:
    together = dict(random_model(100_000).reply(PROMPTS, max_new_tokens=1, choices=CHOICES))
    for index, prompt in enumerate(PROMPTS):
        ((_, alone),) = random_model(1).reply([prompt], max_new_tokens=1, choices=CHOICES)
        assert together[index].text == alone.text
        assert together[index].margin == pytest.approx(alone.margin, abs=1e-3)


def test_padding_changes_no_written_text() -> None:
    together = dict(random_model(100_000).reply(PROMPTS, max_new_tokens=6))
    alone = [next(random_model(1).reply([prompt], max_new_tokens=6))[1].text for prompt in PROMPTS]
    assert [together[index].text for index in range(len(PROMPTS))] == alone


def test_scores_with_a_cache_are_those_of_the_whole_sequence() -> None:
    model = random_model(1)
    prompt, options = model.tokens(PROMPTS[1]), [WORDS(c, add_special_tokens=False).input_ids for c in CHOICES]
    scores = model.log_probs(torch.tensor([prompt]), torch.ones(1, len(prompt), dtype=torch.int64), options)
    for index, option in enumerate(options):
        whole = torch.tensor([prompt + option])
        logs = model.model(whole).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        plain = logs.gather(1, torch.tensor(option)[:, None]).sum()
        assert scores[0, index].item() == pytest.approx(plain.item(), abs=1e-3)


@pytest.mark.parametrize("choices", [CHOICES, ()])
def test_the_answer_depends_on_the_item_and_not_on_its_neighbours_in_the_batch(
    judging: local.LocalModel, choices: tuple[str, ...]
) -> None:
    prompts = [Prompt("Judge.", "a kettle " * n + (CUE if n % 2 else "")) for n in range(40, 46)]
    replies = dict(judging.reply(prompts, max_new_tokens=16, choices=choices))
    ends = [replies[index].text.removeprefix(str(JUDGES[0])) for index in range(6)]
    assert ends == [CHOICES[0], CHOICES[1]] * 3


def test_a_folder_without_a_model_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(UnusableModelError, match=str(tmp_path)):
        local.load(str(tmp_path), tokens_per_batch=1)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model.safetensors", b"", "header too small"),
        ("config.json", b"[]", "mapping"),
        ("config.json", b'{"model_type": "llama", "hidden_size": "x"}', "hidden_size"),
        ("tokenizer.json", b"{}", "added_tokens"),
        ("tokenizer_config.json", b"[]", "'list'"),
    ],
)
def test_a_damaged_folder_is_refused(tmp_path: Path, file: str, content: bytes, message: str) -> None:
    scripted_lm(tmp_path, JUDGES)
    (tmp_path / file).write_bytes(content)
    with pytest.raises(UnusableModelError, match=f"{tmp_path.name} cannot be loaded: .*{message}"):
        local.load(str(tmp_path), tokens_per_batch=100)


def test_missing_weights_are_not_made_up(tmp_path: Path) -> None:
    scripted_lm(tmp_path, JUDGES)
    weights = load_file(tmp_path / "model.safetensors")
    save_file({f"other.{name}": weights[name] for name in weights}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(UnusableModelError, match="weights are not in its files"):
        local.load(str(tmp_path), tokens_per_batch=100)
