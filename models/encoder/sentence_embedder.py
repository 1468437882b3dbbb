"""An encoder with its own pooling, as sentence-transformers has it (MiniLM): to embed with and to tune."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn
from transformers.utils.logging import disable_progress_bar

from models.encoder.contrastive_loss import Encoded
from models.encoder.embedder import Tokens
from models.encoder.pair_batches import Int64s
from models.precision import device, fast_bfloat16
from models.pretrained import check_tokenizer
from models.token_batches import token_batches

TOKENS_AT_ONCE = 2048  # of a training batch, with padding; on a CPU a larger number is slower


class SentenceEmbedder:
    """A sentence-transformers model as an `Embedder`: on the GPU if there is one, in bfloat16 where that is fast.

    model   folder or Hugging Face name
    bf16    whether to compute in bfloat16; None: where it is fast
    raises  OSError or ValueError if there is no readable model
    """

    def __init__(self, model: str, *, max_tokens: int, bf16: bool | None = None) -> None:
        disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers gives it no types
        safe = {"use_safetensors": True}
        self.model = SentenceTransformer(model, device=device(), trust_remote_code=False, model_kwargs=safe).eval()
        self.model.max_seq_length = min(max_tokens, self.model.max_seq_length or max_tokens)
        check_tokenizer(self.model.tokenizer)
        self.model.tokenizer.split_special_tokens = True  # "[SEP]" in a title is a word
        if fast_bfloat16() if bf16 is None else bf16:
            self.model.bfloat16()  # half the work or less, cosine to float32 0.9999

    @property
    def dim(self) -> int:
        return self.model.get_embedding_dimension() or 0

    @property
    def dtype(self) -> torch.dtype:
        return next(self.model.parameters()).dtype

    def items(self, texts: Sequence[str], images: Sequence[str | None] = ()) -> Tokens:
        """Token ids of the texts; images are ignored."""
        if not texts:
            return []
        limit = {"truncation": True, "max_length": self.model.max_seq_length}
        tokens: Tokens = self.model.tokenizer(list(texts), **limit)["input_ids"]
        return tokens

    def collate(self, items: Sequence[list[int]]) -> dict[str, Tensor]:
        padded = self.model.tokenizer.pad({"input_ids": list(items)}, return_tensors="pt")
        return {name: padded[name] for name in ("input_ids", "attention_mask")}

    def vectors(self, batch: dict[str, Tensor]) -> Tensor:
        features = {name: tensor.to(self.model.device) for name, tensor in batch.items()}
        vectors: Tensor = self.model(features)["sentence_embedding"]
        return vectors

    def left_out(self) -> str:
        return ""


class TunableSentence(nn.Module):
    """A sentence-transformers model to train with the contrastive loss alone.

    The weights stay float32. Where bfloat16 is fast, it is used to compute.

    texts  [items]; `collate` takes items by their index in it
    """

    def __init__(self, model: str, texts: Sequence[str], *, max_tokens: int) -> None:
        super().__init__()
        self.sentence = SentenceEmbedder(model, max_tokens=max_tokens, bf16=False)
        self.layers = self.sentence.model
        self.tokens = self.sentence.items(texts)

    def collate(self, items: Int64s) -> Tokens:
        return [self.tokens[item] for item in items]

    def anneal(self, done: float) -> None:
        """Nothing to do: there are no answers that could see the input."""

    def forward(self, batch: Tokens) -> Encoded:
        """Encode texts of similar length together, to save padding; the result keeps the order of the batch."""
        parts, order = [], []
        for rows in token_batches([len(ids) for ids in batch], TOKENS_AT_ONCE):
            with torch.autocast(self.layers.device.type, torch.bfloat16, enabled=fast_bfloat16()):
                parts.append(self.sentence.vectors(self.sentence.collate([batch[row] for row in rows])).float())
            order.append(rows)
        joint = torch.cat(parts)[torch.from_numpy(np.argsort(np.concatenate(order)))]
        return Encoded(joint, joint.new_zeros(()), 0)

    def save(self, folder: Path) -> None:
        self.layers.save(str(folder), create_model_card=False, safe_serialization=True)
