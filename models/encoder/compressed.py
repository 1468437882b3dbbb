"""The three-segment encoder with its tokeniser and image processor: to embed with and to tune."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoConfig

from models.encoder import weights
from models.encoder.alignment import Encoded
from models.encoder.items import Item, Reader
from models.encoder.segments import Batch, QuestionAnswer
from models.encoder.text import Ints
from models.precision import device, fast_bfloat16

Questions = Sequence[tuple[str, str]]  # of an item, each with its answer


def is_decoder(model: str) -> bool:
    """Whether a folder or name holds a language model that predicts the next token."""
    kinds = AutoConfig.from_pretrained(model, trust_remote_code=False).architectures or []
    return any(kind.endswith(("ForCausalLM", "ForConditionalGeneration")) for kind in kinds)


def looks_at_images(model: str) -> bool:
    """Whether a folder or name holds a vision-language model."""
    return is_decoder(model) and hasattr(AutoConfig.from_pretrained(model, trust_remote_code=False), "vision_config")


def was_tuned(model: str) -> bool:
    """Whether a folder holds a three-segment encoder."""
    return (Path(model) / weights.BESIDE).is_file()


class Compressed:
    """A three-segment encoder as an `Embedder`; in one that is yet to be tuned the end of text stands for <EMB>."""

    def __init__(self, model: str, *, max_tokens: int, image_folder: str) -> None:
        self.reader = Reader(model, max_tokens=max_tokens, image_folder=image_folder)
        end = self.reader.tokenizer.eos_token_id
        self.encoder = weights.load_frozen(model, bf16=fast_bfloat16(), instead=end).to(device())

    @property
    def dim(self) -> int:
        return self.encoder.emb.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        return self.encoder.emb.dtype

    def items(self, texts: Sequence[str], images: Sequence[str | None]) -> list[Item]:
        return self.reader.items(texts, images)

    def collate(self, items: Sequence[Item]) -> Batch:
        return self.reader.pack(items, embs=len(self.encoder.emb))

    def vectors(self, batch: Batch) -> Tensor:
        return self.encoder.embed(batch)

    def left_out(self) -> str:
        return self.reader.left_out()


class TunableCompressed(nn.Module):
    """Contrastive and next-token loss (QARM V2, section 3.1); `collate` is asked for items by their places.

    texts         [items]
    images        [items] name of each item's image
    questions     [items] of each item
    image_folder  see `Reader`
    rank          of LoRA adapters; None trains all weights
    warm_start    share of the steps in which answers see less and less of the input
    """

    def __init__(
        self, model: str, texts: Sequence[str], images: Sequence[str | None], questions: Sequence[Questions], *,
        max_tokens: int, image_folder: str, embs: int, rank: int | None, checkpointing: bool, warm_start: float,
    ) -> None:  # fmt: skip
        super().__init__()
        bf16 = fast_bfloat16()
        self.encoder = weights.load(model, embs=embs, rank=rank, bf16=bf16, checkpointing=checkpointing).to(device())
        self.reader = Reader(model, max_tokens=max_tokens, image_folder=image_folder)
        self.warm_start = warm_start
        self.input_share = 0.0
        self.items = self.reader.items(texts, images)
        self.questions = [self._pairs(one) for one in questions]

    def _pairs(self, questions: Questions) -> list[QuestionAnswer]:
        asked = self.reader.tokens([f" {question}" for question, _ in questions])
        told = self.reader.tokens([f" {answer}" for _, answer in questions])
        return list(zip(asked, told, strict=True))

    def collate(self, items: Ints) -> Batch:
        return self.reader.pack(
            [self.items[item] for item in items], [self.questions[item] for item in items],
            embs=len(self.encoder.emb), max_questions=2 * self.reader.max_tokens,
        )  # fmt: skip

    def anneal(self, done: float) -> None:
        """Told before each step which share of the steps is done."""
        self.input_share = max(0.0, 1 - done / self.warm_start) if self.warm_start else 0.0

    def forward(self, batch: Batch) -> Encoded:
        return self.encoder(batch, input_share=self.input_share)  # type: ignore[no-any-return]  # a module's call is Any to torch

    def save(self, folder: Path) -> None:
        weights.save(self.encoder, folder, self.reader.tokenizer)
        if self.reader.images:
            self.reader.images.processor.save_pretrained(folder)
