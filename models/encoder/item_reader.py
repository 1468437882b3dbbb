"""What a three-segment encoder reads of an item: its image, if it has one, then its text."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase

from models.encoder.embedder import Tokens
from models.encoder.images import Images
from models.encoder.segments import Batch, QuestionAnswer, collate
from models.encoder.vision import image_tokens
from models.pretrained import check_tokenizer


@dataclass(frozen=True)
class Item:
    """One item; its length is its number of tokens.

    text          its tokens
    image         name of its image
    image_tokens  how many tokens the image takes
    """

    text: list[int]
    image: str | None = None
    image_tokens: int = 0

    def __len__(self) -> int:
        return self.image_tokens + len(self.text)


class ItemReader:
    """Turns texts and images into packed rows.

    model         folder or name
    max_tokens    of a text; an image's tokens come on top
    image_folder  that names of images are relative to; empty: images are ignored
    raises        OSError or ValueError if there is no readable tokeniser or image processor
    """

    def __init__(self, model: str, *, max_tokens: int, image_folder: str) -> None:
        self.config = AutoConfig.from_pretrained(model, trust_remote_code=False)
        self.tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
        check_tokenizer(self.tokenizer)
        self.tokenizer.split_special_tokens = True  # "<|im_end|>" in a title is a word
        self.max_tokens = max_tokens
        self.images = Images(image_folder, model) if image_folder and hasattr(self.config, "vision_config") else None

    def items(self, texts: Sequence[str], images: Sequence[str | None]) -> list[Item]:
        """Tokenise texts and size images. Only the head of an image file is read: all images do not fit into memory."""
        return [self._item(text, image) for text, image in zip(self.tokens(texts), images, strict=True)]

    def _item(self, text: list[int], image: str | None) -> Item:
        needed = self.images.tokens(image) if self.images and image else None
        return Item(text) if needed is None else Item(text, image, needed)

    def tokens(self, texts: Sequence[str]) -> Tokens:
        if not texts:
            return []
        limit = {"truncation": True, "max_length": self.max_tokens, "add_special_tokens": False}
        tokens: Tokens = self.tokenizer(list(texts), **limit)["input_ids"]
        return tokens

    def pack(
        self,
        items: Sequence[Item],
        questions: Sequence[Sequence[QuestionAnswer]] | None = None,
        *,
        embs: int,
        max_questions: int = 0,
    ) -> Batch:
        """Pack items into rows and decode their images. If an image cannot be decoded, its item has the text alone."""
        decoded = [self.images.patches(item.image) if self.images and item.image else None for item in items]
        heads = [image_tokens(self.config, image.grid) if image else [] for image in decoded]
        images = [image for image in decoded if image]
        return collate(
            [head + item.text for head, item in zip(heads, items, strict=True)],
            questions,
            embs=embs,
            max_questions=max_questions,
            pixels=torch.cat([image.pixels for image in images]) if images else None,
            grid=torch.cat([image.grid for image in images]) if images else None,
        )

    def left_out(self) -> str:
        """How many images could not be read so far, and why one of them could not; empty if all could be read."""
        if not (self.images and self.images.left_out):
            return ""
        return f"{self.images.left_out:,} images of items were left out, such as {self.images.example}"
