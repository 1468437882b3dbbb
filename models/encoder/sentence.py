"""A sentence-transformers model that can be tuned: the contrastive part alone, with its own pooling."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from torch import nn

from models.encoder.alignment import Encoded
from models.encoder.text import Ints, Tokens, budgeted, features, tokens_of

TOKENS_AT_ONCE = 4096  # padding included: on a CPU more does not make it faster


class TunableSentence(nn.Module):
    """The model's own layers and pooling, computed in bfloat16 where that is asked for; its weights stay float32."""

    def __init__(self, encoder: SentenceTransformer, *, bf16: bool) -> None:
        super().__init__()
        self.encoder = encoder
        self.bf16 = bf16

    def forward(self, batch: Tokens) -> Encoded:
        """Texts of like length go together, so that little padding is computed; the order of the batch is kept."""
        parts, order = [], []
        for rows in budgeted([len(ids) for ids in batch], TOKENS_AT_ONCE):
            padded = features(self.encoder, [batch[row] for row in rows])
            with torch.autocast(self.encoder.device.type, torch.bfloat16, enabled=self.bf16):
                parts.append(self.encoder(padded)["sentence_embedding"].float())
            order.append(rows)
        joint = torch.cat(parts)[torch.from_numpy(np.argsort(np.concatenate(order)))]
        return Encoded(joint, joint.new_zeros(()), 0)


def collator(encoder: SentenceTransformer, texts: Sequence[str]) -> Callable[[Ints], Tokens]:
    """Item indices to token ids; the texts are tokenised once, here.

    texts  [items]
    """
    ids = tokens_of(encoder, texts)
    return lambda items: [ids[item] for item in items]
