"""A causal language model in this process: batches of like length, left padding, key-value cache, greedy."""

import copy
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from models.encoder.whole import complete, known
from models.llm.prompt import Prompt, Refused, Reply
from models.precision import device


def load(model: str, *, tokens_per_batch: int) -> "LocalModel":
    """The model at a folder or of a Hugging Face name, on the GPU where there is one, in bfloat16 where that is fast.

    raises  Refused if there is no readable model
    """
    fast = device() == "cuda" or torch.cpu._is_amx_tile_supported()
    dtype = torch.bfloat16 if fast else torch.float32
    try:
        tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
        told: Any = AutoModelForCausalLM.from_pretrained(
            model, dtype=dtype, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
        network: Any = complete(*told)
        known(tokenizer)
    except Exception as error:  # what transformers raises on a damaged folder can be nearly anything
        raise Refused(f"{model} cannot be loaded: {(str(error) or repr(error)).splitlines()[0][:200]}") from None
    return LocalModel(network.to(device()).eval(), tokenizer, tokens_per_batch)


def token_batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Places of sequences, the longest first, in batches of at most `budget` tokens, padding included.

    A sequence that is longer than the budget is a batch of its own.
    """
    batch: list[int] = []
    longest = 0
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        longest = max(longest, lengths[place])
        if batch and longest * (len(batch) + 1) > budget:
            yield batch
            batch, longest = [], lengths[place]
        batch.append(place)
    if batch:
        yield batch


class LocalModel:
    """A LanguageModel in this process."""

    def __init__(self, model: Any, tokenizer: Any, tokens_per_batch: int) -> None:
        self.model, self.tokenizer, self.tokens_per_batch = model, tokenizer, tokens_per_batch
        self.pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id

    def reply(
        self, prompts: Sequence[Prompt], *, max_new_tokens: int, choices: Sequence[str] = ()
    ) -> Iterator[tuple[int, Reply]]:
        """See LanguageModel; with choices, each reply is the choice of the highest log probability."""
        tokens = [self.tokens(prompt) for prompt in prompts]
        options = [self.tokenizer(choice, add_special_tokens=False).input_ids for choice in choices]
        added = max(map(len, options)) if options else max_new_tokens
        for places in token_batches([len(ids) + added for ids in tokens], self.tokens_per_batch):
            started = time.perf_counter()
            ids, mask = self._padded([tokens[place] for place in places])
            replies = self._choose(ids, mask, choices, options) if choices else self._write(ids, mask, max_new_tokens)
            seconds = (time.perf_counter() - started) / len(places)
            for place, (text, margin) in zip(places, replies, strict=True):
                yield place, Reply(text, seconds, margin)

    def tokens(self, prompt: Prompt) -> list[int]:
        """By the tokenizer's chat template where it has one. Reasoning is asked for in the prompt, not as hidden
        thought, so that it is short and can be kept.
        """
        if not self.tokenizer.chat_template:
            return list(self.tokenizer(f"{prompt.system}\n\n{prompt.user}\n\n").input_ids)
        messages = [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}]
        text = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False, enable_thinking=False
        )
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def _padded(self, rows: list[list[int]]) -> tuple[Tensor, Tensor]:
        """Token ids and attention mask, [rows, longest] int64, padded on the left."""
        longest = max(map(len, rows))
        ids = torch.tensor([[self.pad] * (longest - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
        return ids.to(self.model.device), mask.to(self.model.device)

    @torch.inference_mode()
    def _write(self, ids: Tensor, mask: Tensor, max_new_tokens: int) -> list[tuple[str, None]]:
        written = self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            pad_token_id=self.pad,
        )
        texts = self.tokenizer.batch_decode(written[:, ids.shape[1] :], skip_special_tokens=True)
        return [(text, None) for text in texts]

    def _choose(
        self, ids: Tensor, mask: Tensor, choices: Sequence[str], options: list[list[int]]
    ) -> list[tuple[str, float]]:
        best = self.log_probs(ids, mask, options).topk(min(2, len(choices)), dim=1)
        margins = (best.values[:, 0] - best.values[:, -1]).tolist()
        return [(choices[place], margin) for place, margin in zip(best.indices[:, 0].tolist(), margins, strict=True)]

    @torch.inference_mode()
    def log_probs(self, ids: Tensor, mask: Tensor, options: list[list[int]]) -> Tensor:
        """The log probability of each continuation, summed over its tokens. The prompt is read once.

        ids, mask  [rows, tokens] int64, padded on the left
        options    token ids of each continuation, at least one token
        returns    [rows, options] float32
        """
        places = (mask.cumsum(1) - 1).clamp(min=0)
        read = self.model(input_ids=ids, attention_mask=mask, position_ids=places, use_cache=True, logits_to_keep=1)
        first = read.logits[:, -1].float().log_softmax(-1)
        sums = []
        for option in options:
            total = first[:, option[0]]
            if len(option) > 1:
                rest = torch.tensor(option, device=ids.device).expand(len(ids), -1)
                went = self.model(
                    input_ids=rest[:, :-1],
                    attention_mask=torch.cat([mask, torch.ones_like(rest[:, :-1])], dim=1),
                    position_ids=places[:, -1:] + torch.arange(1, len(option), device=ids.device),
                    past_key_values=copy.deepcopy(read.past_key_values),
                    use_cache=True,
                )
                after = went.logits.float().log_softmax(-1)
                total = total + after.gather(2, rest[:, 1:, None]).sum((1, 2))
            sums.append(total)
        return torch.stack(sums, dim=1)
