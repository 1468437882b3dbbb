"""A causal language model in this process: batches of similar length, left padding, key-value cache, greedy."""

import copy
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from models.llm.interface import Prompt, Reply, UnusableModelError
from models.precision import device
from models.pretrained import check_tokenizer, check_weights
from models.token_batches import token_batches


def load(model: str, *, tokens_per_batch: int) -> "LocalModel":
    """Load a model onto the GPU, if there is one, in bfloat16 where that is fast.

    model   folder or Hugging Face name
    raises  UnusableModelError if there is no readable model
    """
    is_fast = device() == "cuda" or torch.cpu._is_amx_tile_supported()
    dtype = torch.bfloat16 if is_fast else torch.float32
    try:
        tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            model, dtype=dtype, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
        network: Any = check_weights(*loaded)
        check_tokenizer(tokenizer)
    except Exception as error:  # what transformers raises on a damaged folder can be nearly anything
        raise UnusableModelError(
            f"{model} cannot be loaded: {(str(error) or repr(error)).splitlines()[0][:200]}"
        ) from None
    return LocalModel(network.to(device()).eval(), tokenizer, tokens_per_batch)


class LocalModel:
    """A LanguageModel in this process."""

    def __init__(self, model: Any, tokenizer: Any, tokens_per_batch: int) -> None:
        self.model, self.tokenizer, self.tokens_per_batch = model, tokenizer, tokens_per_batch
        self.pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id

    def reply(
        self, prompts: Sequence[Prompt], *, max_new_tokens: int, choices: Sequence[str] = ()
    ) -> Iterator[tuple[int, Reply]]:
        """See LanguageModel. With choices, each reply is the choice with the highest log probability."""
        tokens = [self.tokens(prompt) for prompt in prompts]
        options = [self.tokenizer(choice, add_special_tokens=False).input_ids for choice in choices]
        longest_reply = max(map(len, options)) if options else max_new_tokens
        for batch in token_batches([len(ids) + longest_reply for ids in tokens], self.tokens_per_batch):
            indices = batch.tolist()
            started = time.perf_counter()
            ids, mask = self._pad([tokens[index] for index in indices])
            replies = self._choose(ids, mask, choices, options) if choices else self._write(ids, mask, max_new_tokens)
            seconds = (time.perf_counter() - started) / len(indices)
            for index, (text, margin) in zip(indices, replies, strict=True):
                yield index, Reply(text, seconds, margin)

    def tokens(self, prompt: Prompt) -> list[int]:
        """Token ids of a prompt, by the tokenizer's chat template if it has one.

        Hidden thinking is off: the prompt asks for the reasoning, so that it is short and can be stored.
        """
        if not self.tokenizer.chat_template:
            return list(self.tokenizer(f"{prompt.system}\n\n{prompt.user}\n\n").input_ids)
        messages = [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}]
        text = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False, enable_thinking=False
        )
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def _pad(self, rows: list[list[int]]) -> tuple[Tensor, Tensor]:
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
        return [(choices[index], margin) for index, margin in zip(best.indices[:, 0].tolist(), margins, strict=True)]

    @torch.inference_mode()
    def log_probs(self, ids: Tensor, mask: Tensor, options: list[list[int]]) -> Tensor:
        """The log probability of each continuation, summed over its tokens. The prompt is read once.

        ids, mask  [rows, tokens] int64, padded on the left
        options    token ids of each continuation, at least one token
        returns    [rows, options] float32
        """
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        prompt = self.model(
            input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1
        )
        first_token = prompt.logits[:, -1].float().log_softmax(-1)
        sums = []
        for option in options:
            total = first_token[:, option[0]]
            if len(option) > 1:
                tokens = torch.tensor(option, device=ids.device).expand(len(ids), -1)
                continuation = self.model(
                    input_ids=tokens[:, :-1],
                    attention_mask=torch.cat([mask, torch.ones_like(tokens[:, :-1])], dim=1),
                    position_ids=positions[:, -1:] + torch.arange(1, len(option), device=ids.device),
                    past_key_values=copy.deepcopy(prompt.past_key_values),
                    use_cache=True,
                )
                later_tokens = continuation.logits.float().log_softmax(-1)
                total = total + later_tokens.gather(2, tokens[:, 1:, None]).sum((1, 2))
            sums.append(total)
        return torch.stack(sums, dim=1)
