"""A language model with codes as tokens: its step function and its loss."""

from collections.abc import Callable

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from tests.llm import tiny_llm
from tests.models.generator import shop
from tests.models.generator.shop import PROMPTS, score_items, with_codes


def gpt2() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(shop.WORDS), n_positions=64, n_embd=32, n_layer=2, n_head=4)
    return GPT2LMHeadModel(config)


@pytest.mark.parametrize("make", [shop.lm, tiny_llm, gpt2])
def test_scores_with_a_cache_are_those_of_the_whole_sequence(make: Callable[[], PreTrainedModel]) -> None:
    model = with_codes(make())
    scores = score_items(model, PROMPTS, shop.code_tensor())
    starts = model.vocabulary + torch.tensor([0, 3, 7])
    for prompt, prompt_scores in zip(PROMPTS, scores, strict=True):
        for item, path in enumerate(shop.code_tensor() + starts):
            tokens = torch.tensor([prompt + path.tolist()])
            states = model.model.base_model(inputs_embeds=model.embed(tokens)).last_hidden_state[0]
            logs = [model.level_logits(states[len(prompt) - 1 + level], level).log_softmax(-1) for level in range(3)]
            whole = sum(float(log[code]) for log, code in zip(logs, shop.codes()[item], strict=True))
            assert float(prompt_scores[item]) == pytest.approx(whole, abs=1e-3)


def test_the_longest_prompt_leaves_room_for_the_codes_of_an_item() -> None:
    model = with_codes(gpt2())
    assert (model.max_tokens, model.max_prompt_tokens) == (64, 62)
    assert score_items(model, [[5] * 62], shop.code_tensor()).isfinite().all()
    with pytest.raises(IndexError):
        score_items(model, [[5] * 63], shop.code_tensor())


def test_steps_can_be_asked_in_any_order_and_for_any_prompts() -> None:
    read = with_codes(shop.lm()).read_prompts(PROMPTS)
    prefixes = torch.tensor([[1, 2], [0, 0], [2, 3], [1, 1], [0, 3]])
    users = torch.tensor([2, 0, 2, 1, 0])
    together = read.step(2, users, prefixes)
    for row in (3, 0, 4):
        alone = read.step(2, users[[row]], prefixes[[row]])
        torch.testing.assert_close(alone[0], together[row], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(together.exp().sum(1), torch.ones(5))


def test_the_loss_counts_the_answer_only() -> None:
    model = with_codes(shop.lm())
    code = model.vocabulary + 3 + 2  # <b_2>
    tokens, is_answer = torch.tensor([[5, 6, code, 0], [5, 6, 7, 8]]), torch.zeros(2, 4, dtype=torch.bool)
    is_answer[0, 2] = is_answer[1, 2:] = True
    losses = model.answer_loss(tokens, is_answer)
    states = model.model.base_model(inputs_embeds=model.embed(tokens)).last_hidden_state
    coded = -model.level_logits(states[0, 1], 1).log_softmax(-1)[2]
    words = -model.word_logits(states[1]).log_softmax(-1)
    torch.testing.assert_close(losses, torch.stack([coded, (words[1, 7] + words[2, 8]) / 2]))


@pytest.mark.parametrize("make", [shop.lm, tiny_llm])
def test_what_the_model_learns_of_a_code_changes_no_word(make: Callable[[], PreTrainedModel]) -> None:
    model = with_codes(make())
    words = torch.tensor([[5, 6, 7]])
    before = model.model(words).logits
    model.input_rows.data.mul_(2)
    assert model.model(words).logits.equal(before)
    assert model.is_tied == (make is tiny_llm)
