"""The three-segment encoder with its tokeniser and image processor: to embed with and to tune."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoConfig

from models.encoder import three_segment_files
from models.encoder.contrastive_loss import Encoded
from models.encoder.item_reader import Item, ItemReader
from models.encoder.pair_batches import Int64s
from models.encoder.segments import Batch, QuestionAnswer
from models.precision import device, fast_bfloat16

Questions = Sequence[tuple[str, str]]  # the questions about an item, each with its answer


def is_decoder(model: str) -> bool:
    """Whether a folder or name holds a language model that predicts the next token."""
    kinds = AutoConfig.from_pretrained(model, trust_remote_code=False).architectures or []
    return any(kind.endswith(("ForCausalLM", "ForConditionalGeneration")) for kind in kinds)


def looks_at_images(model: str) -> bool:
    """Whether a folder or name holds a vision-language model."""
    return is_decoder(model) and hasattr(AutoConfig.from_pretrained(model, trust_remote_code=False), "vision_config")


def was_tuned(model: str) -> bool:
    """Whether a folder holds a three-segment encoder."""
    return (Path(model) / three_segment_files.ADDED_WEIGHTS).is_file()


class ThreeSegmentEmbedder:
    """A three-segment encoder as an `Embedder`. If it is not tuned yet, the end-of-text token is used as <EMB>."""

    def __init__(self, model: str, *, max_tokens: int, image_folder: str) -> None:
        self.reader = ItemReader(model, max_tokens=max_tokens, image_folder=image_folder)
        end = self.reader.tokenizer.eos_token_id
        self.encoder = three_segment_files.load_frozen(model, bf16=fast_bfloat16(), emb_token=end).to(device())

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


class TunableThreeSegment(nn.Module):
    """A three-segment encoder to train with the contrastive and the next-token loss (QARM V2, section 3.1).

    texts         [items]; `collate` takes items by their index in it
    images        [items] name of each item's image
    questions     [items] the questions about each item
    image_folder  see `ItemReader`
    embs          <EMB> tokens of an item
    rank          of LoRA adapters; None trains all weights
    warm_start    share of the steps in which answers see less and less of the input
    """

    def __init__(
        self, model: str, texts: Sequence[str], images: Sequence[str | None], questions: Sequence[Questions], *,
        max_tokens: int, image_folder: str, embs: int, rank: int | None, checkpointing: bool, warm_start: float,
    ) -> None:  # fmt: skip
        super().__init__()
        encoder = three_segment_files.load(
            model, embs=embs, rank=rank, bf16=fast_bfloat16(), checkpointing=checkpointing
        )
        self.encoder = encoder.to(device())
        self.reader = ItemReader(model, max_tokens=max_tokens, image_folder=image_folder)
        self.warm_start = warm_start
        self.input_share = 0.0
        self.items = self.reader.items(texts, images)
        self.questions = [self._tokenize(item_questions) for item_questions in questions]

    def _tokenize(self, questions: Questions) -> list[QuestionAnswer]:
        question_tokens = self.reader.tokens([f" {question}" for question, _ in questions])
        answer_tokens = self.reader.tokens([f" {answer}" for _, answer in questions])
        return list(zip(question_tokens, answer_tokens, strict=True))

    def collate(self, items: Int64s) -> Batch:
        return self.reader.pack(
            [self.items[item] for item in items], [self.questions[item] for item in items],
            embs=len(self.encoder.emb), max_questions=2 * self.reader.max_tokens,
        )  # fmt: skip

    def anneal(self, done: float) -> None:
        """Called before each step with the share of the steps that is done."""
        self.input_share = max(0.0, 1 - done / self.warm_start) if self.warm_start else 0.0

    def forward(self, batch: Batch) -> Encoded:
        return self.encoder(batch, input_share=self.input_share)  # type: ignore[no-any-return]  # a module's call is Any to torch

    def save(self, folder: Path) -> None:
        three_segment_files.save(self.encoder, folder, self.reader.tokenizer)
        if self.reader.images:
            self.reader.images.processor.save_pretrained(folder)
