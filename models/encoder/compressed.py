"""The three-segment encoder with its tokeniser: to embed with and to tune."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase

from models.encoder import weights
from models.encoder.alignment import Encoded
from models.encoder.segments import Batch, QuestionAnswer, collate
from models.encoder.text import Ints, Tokens, fast_bfloat16

Questions = Sequence[tuple[str, str]]  # of an item, each with its answer


def is_decoder(model: str) -> bool:
    """Whether a folder or name holds a language model that predicts the next token."""
    kinds = AutoConfig.from_pretrained(model, trust_remote_code=False).architectures or []
    return any(kind.endswith(("ForCausalLM", "ForConditionalGeneration")) for kind in kinds)


def was_tuned(model: str) -> bool:
    """Whether a folder holds a three-segment encoder."""
    return (Path(model) / weights.BESIDE).is_file()


class Compressed:
    """A tuned three-segment encoder as an `Embedder`."""

    def __init__(self, model: str, *, max_tokens: int) -> None:
        self.encoder = weights.load_frozen(model, bf16=fast_bfloat16()).to(_device())
        self.tokenizer = _tokenizer(model)
        self.max_tokens = max_tokens

    @property
    def dim(self) -> int:
        return self.encoder.emb.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        return self.encoder.emb.dtype

    def tokens_of(self, texts: Sequence[str]) -> Tokens:
        return _tokens(self.tokenizer, texts, self.max_tokens)

    def vectors(self, tokens: Tokens) -> Tensor:
        return self.encoder.embed(collate(tokens, embs=len(self.encoder.emb), max_input=self.max_tokens))


class TunableCompressed(nn.Module):
    """Contrastive and next-token loss (QARM V2, section 3.1); `collate` is asked for items by their places.

    texts      [items]
    questions  [items] of each item
    rank        of LoRA adapters; None trains all weights
    warm_start  share of the steps in which answers see less and less of the input
    """

    def __init__(
        self, model: str, texts: Sequence[str], questions: Sequence[Questions], *, max_tokens: int, embs: int,
        rank: int | None, checkpointing: bool, warm_start: float,
    ) -> None:  # fmt: skip
        super().__init__()
        bf16 = fast_bfloat16()
        self.encoder = weights.load(model, embs=embs, rank=rank, bf16=bf16, checkpointing=checkpointing).to(_device())
        self.tokenizer = _tokenizer(model)
        self.max_tokens = max_tokens
        self.warm_start = warm_start
        self.input_share = 0.0
        self.tokens = _tokens(self.tokenizer, texts, max_tokens)
        self.questions = [self._pairs(one) for one in questions]

    def _pairs(self, questions: Questions) -> list[QuestionAnswer]:
        asked = _tokens(self.tokenizer, [f" {question}" for question, _ in questions], self.max_tokens)
        told = _tokens(self.tokenizer, [f" {answer}" for _, answer in questions], self.max_tokens)
        return list(zip(asked, told, strict=True))

    def collate(self, items: Ints) -> Batch:
        return collate(
            [self.tokens[item] for item in items], [self.questions[item] for item in items],
            embs=len(self.encoder.emb), max_input=self.max_tokens, max_questions=2 * self.max_tokens,
        )  # fmt: skip

    def anneal(self, done: float) -> None:
        """Told before each step which share of the steps is done."""
        self.input_share = max(0.0, 1 - done / self.warm_start) if self.warm_start else 0.0

    def forward(self, batch: Batch) -> Encoded:
        return self.encoder(batch, input_share=self.input_share)  # type: ignore[no-any-return]  # a module's call is Any to torch

    def save(self, folder: Path) -> None:
        weights.save(self.encoder, folder, self.tokenizer)


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _tokenizer(model: str) -> PreTrainedTokenizerBase:
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
    tokenizer.split_special_tokens = True  # "<|im_end|>" in a title is a word
    return tokenizer


def _tokens(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], most: int) -> Tokens:
    if not texts:
        return []
    cut = {"truncation": True, "max_length": most, "add_special_tokens": False}
    found: Tokens = tokenizer(list(texts), **cut)["input_ids"]
    return found
