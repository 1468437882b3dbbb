"""A causal language model whose vocabulary is extended by the codes of items (LC-Rec, arXiv 2311.09049).

A code is a token of its own, <a_12> in the text form, with a row in a table beside the model's own embeddings. The
format of an answer is known: a code of level l is chosen among the codes of level l, and a word among the words. So the
model never has to learn which kind of token comes next, and items can be generated without the logits of all words.
Nothing here samples: whatever the model's generation_config says (do_sample, temperature, top_k, top_p) is not used.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from models.encoder.lora import add_adapters
from models.encoder.three_segment import embeddings


class CodeLanguageModel(nn.Module):
    """Wraps a causal language model with an ordinary key-value cache.

    model  from transformers
    sizes  [levels] codes of each level
    rank   of LoRA adapters: besides them only the rows of the codes are trained; None trains all weights
    bf16   computes in bfloat16; trained weights stay float32, frozen weights become bfloat16
    """

    def __init__(
        self, model: PreTrainedModel, sizes: Sequence[int], *, rank: int | None = None, bf16: bool = False
    ) -> None:
        super().__init__()
        self.model, self.sizes, self.rank, self.bf16 = model, tuple(sizes), rank, bf16
        words = embeddings(model)
        head: nn.Linear = model.get_output_embeddings()  # type: ignore[no-untyped-call]  # transformers: no types
        self.vocabulary = words.num_embeddings
        self.is_tied = head.weight is words.weight
        self.input_rows = nn.Parameter(torch.zeros(sum(sizes), words.embedding_dim))
        self.output_rows = self.input_rows if self.is_tied else nn.Parameter(torch.zeros(sum(sizes), head.in_features))
        self.input_scale = float(getattr(words, "embed_scale", 1.0))  # some models multiply what they look up
        if rank is not None:
            add_adapters(model, rank)
        if bf16:
            for parameter in model.parameters():
                parameter.data = parameter.data.to(torch.float32 if parameter.requires_grad else torch.bfloat16)

    @property
    def device(self) -> torch.device:
        return self.input_rows.device

    @property
    def max_tokens(self) -> int:
        """Tokens that the model can read."""
        return int(getattr(self.model.config, "max_position_embeddings", None) or 1 << 30)

    @property
    def max_prompt_tokens(self) -> int:
        """Tokens of a prompt after which the model can still read all codes of an item but the last."""
        return self.max_tokens - (len(self.sizes) - 1)

    def precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def embed(self, tokens: Tensor) -> Tensor:
        """The inputs [..., dim] for token ids [...]; ids from `vocabulary` on are codes, level by level."""
        is_code = tokens >= self.vocabulary
        words: Tensor = embeddings(self.model)(tokens.masked_fill(is_code, 0))
        rows = F.embedding((tokens - self.vocabulary).clamp(min=0), self.input_rows) * self.input_scale
        return torch.where(is_code[..., None], rows.to(words.dtype), words)

    def level_logits(self, states: Tensor, level: int) -> Tensor:
        """Logits [..., sizes[level]] float32 of the codes of a level from last hidden states [..., dim]."""
        rows = torch.split(self.output_rows, list(self.sizes))[level]
        return F.linear(states, rows.to(states.dtype)).float()

    def word_logits(self, states: Tensor) -> Tensor:
        """Logits [..., vocabulary] float32 of the model's own tokens."""
        head: nn.Linear = self.model.get_output_embeddings()  # type: ignore[no-untyped-call]  # as above
        logits: Tensor = head(states)
        return logits.float()

    def answer_loss(self, tokens: Tensor, is_answer: Tensor) -> Tensor:
        """Mean cross-entropy of the answer's tokens, for each row [rows] float32.

        tokens     [rows, longest] int64, padded on the right
        is_answer  [rows, longest] bool, at least one true in each row and none in the first column
        """
        with self.precision():
            states = self.model.base_model(inputs_embeds=self.embed(tokens), use_cache=False).last_hidden_state
            rows, places = is_answer.nonzero(as_tuple=True)
            targets, before = tokens[rows, places], states[rows, places - 1]
            losses = before.new_zeros(len(targets), dtype=torch.float32)
            start = self.vocabulary
            if len(words := (targets < start).nonzero()[:, 0]):
                loss = F.cross_entropy(self.word_logits(before[words]), targets[words], reduction="none")
                losses = losses.index_copy(0, words, loss)
            for level, size in enumerate(self.sizes):
                if len(coded := ((targets >= start) & (targets < start + size)).nonzero()[:, 0]):
                    logits = self.level_logits(before[coded], level)
                    loss = F.cross_entropy(logits, targets[coded] - start, reduction="none")
                    losses = losses.index_copy(0, coded, loss)
                start += size
        sums: Tensor = losses.new_zeros(len(tokens)).index_add(0, rows, losses)
        return sums / is_answer.sum(1)

    @torch.inference_mode()
    def read_prompts(self, prompts: Sequence[Sequence[int]]) -> "ReadPrompts":
        """Read prompts once, to generate items for them.

        raises  ValueError if the model has no ordinary key-value cache
        """
        longest = max(map(len, prompts))
        tokens = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts], device=self.device)
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=self.device)
        places = torch.arange(longest, device=self.device) - (longest - lengths)[:, None]  # padding: below 0
        cache = DynamicCache()
        with self.precision():
            states = self.model.base_model(
                inputs_embeds=self.embed(tokens),
                attention_mask=(places >= 0).long(),
                position_ids=places.clamp(min=0),
                past_key_values=cache,
                use_cache=True,
            ).last_hidden_state
        if cache.get_seq_length() != longest:
            raise ValueError(f"{type(self.model).__name__} keeps no keys and values of a prompt: use another model")
        return ReadPrompts(self, cache, places >= 0, states[:, -1])


class ReadPrompts:
    """Prompts that a model has read, with their keys and values: the step function of the beam search.

    is_token  [prompts, longest] bool, false for padding on the left
    states    [prompts, dim] last hidden states
    """

    def __init__(self, model: CodeLanguageModel, cache: DynamicCache, is_token: Tensor, states: Tensor) -> None:
        self.model, self.cache, self.is_token, self.states = model, cache, is_token, states

    @torch.inference_mode()
    def step(self, level: int, user_rows: Tensor, prefix_codes: Tensor) -> Tensor:
        """Log-probabilities of the codes of a level after prefixes.

        All prefixes of a prompt are read beside each other, as branches of one tree: each sees the prompt and itself.
        The keys and values of the prompt are never copied per prefix.

        user_rows     [n] int64, the prompt of each prefix
        prefix_codes  [n, level] int64
        returns       [n, sizes[level]] float32
        """
        with self.model.precision():
            states = self.states[user_rows] if not level else self._read_prefixes(level, user_rows, prefix_codes)
            log_probabilities: Tensor = self.model.level_logits(states, level).log_softmax(-1)
        return log_probabilities

    def _read_prefixes(self, level: int, user_rows: Tensor, prefix_codes: Tensor) -> Tensor:
        """The last hidden state [n, dim] of each prefix."""
        prompts = len(self.is_token)
        branch = _number_within(user_rows, prompts)
        width = int(branch.max()) + 1
        starts = torch.tensor(self.model.sizes).cumsum(0)[:level] - torch.tensor(self.model.sizes[:level])
        tokens = torch.full((prompts, width, level), self.model.vocabulary, device=user_rows.device)
        tokens[user_rows, branch] = prefix_codes + self.model.vocabulary + starts.to(user_rows.device)
        depth = torch.arange(level, device=user_rows.device).repeat(width)
        place = torch.arange(width, device=user_rows.device).repeat_interleave(level)
        sees = (place[:, None] == place) & (depth[:, None] >= depth)
        inputs = self.model.embed(tokens.flatten(1))
        visible = torch.cat([self.is_token[:, None].expand(-1, len(sees), -1), sees.expand(prompts, -1, -1)], dim=2)
        mask = torch.zeros(visible.shape, dtype=inputs.dtype, device=inputs.device)
        states = self.model.model.base_model(
            inputs_embeds=inputs,
            attention_mask=mask.masked_fill(~visible, torch.finfo(inputs.dtype).min)[:, None],
            position_ids=self.is_token.sum(1, keepdim=True) + depth,
            past_key_values=self.cache,
            use_cache=True,
        ).last_hidden_state
        self.cache.crop(-width * level)
        last: Tensor = states.view(prompts, width, level, -1)[user_rows, branch, -1]
        return last


def _number_within(groups: Tensor, count: int) -> Tensor:
    """The number [n] of each row within its group [n], from 0."""
    order = groups.argsort(stable=True)
    sizes = torch.bincount(groups, minlength=count)
    starts = (sizes.cumsum(0) - sizes)[groups[order]]
    numbers = torch.empty_like(groups)
    numbers[order] = torch.arange(len(groups), device=groups.device) - starts
    return numbers
