"""Queries for training: items that are described by some of their words, or by their text vector, alone.

The generator learns to predict such an item from its query (query-oriented alignment, arXiv 2412.13771). Real queries
are not needed.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.generator.items import ItemEmbedding
from models.generator.words import Words
from models.ranker.histories import Int64s

TOKENS_PER_QUERY = 16  # a batch has a query for so many of its events


@dataclass(frozen=True)
class Queries:
    """What describes some items.

    items  [queries] int64, what each query asks for
    words  of the queries
    text   [queries, text_dim] float32, zeros for a query without a text vector
    """

    items: Tensor
    words: Words
    text: Tensor

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: Int64s) -> "Queries":
        places = torch.from_numpy(rows).to(self.items.device)
        return Queries(self.items[places], self.words.take(places), self.text[places])


def draw_queries(embedding: ItemEmbedding, items: Int64s, count: int, rng: np.random.Generator) -> Queries:
    """Draw some of the items, and for each a part of its words: as often a few of them as most of them.

    Half of the queries also have the item's text vector, and so do those of items without words.

    items  [items] that have words or a text vector
    """
    device = embedding.known.device
    drawn = torch.from_numpy(rng.choice(items, count)).to(device)
    words = embedding.words_of(drawn)
    n_words = words.offsets.diff().cpu().numpy()
    words = _draw_words(words, np.minimum((n_words + 1) ** rng.random(count), n_words).astype(np.int64), rng)
    has_text = torch.from_numpy((rng.random(count) < 0.5) | (n_words == 0)).to(device)
    return Queries(drawn, words, embedding.text[drawn] * has_text.unsqueeze(1))


def _draw_words(words: Words, counts: Int64s, rng: np.random.Generator) -> Words:
    """So many words of each text [texts]."""
    offsets = words.offsets.cpu().numpy()
    texts = np.repeat(np.arange(len(words)), np.diff(offsets))
    order = np.lexsort((rng.random(len(texts)), texts))
    is_drawn = np.arange(len(texts)) - offsets[texts] < counts[texts]
    numbers = words.numbers[torch.from_numpy(order[is_drawn]).to(words.numbers.device)]
    return Words(torch.from_numpy(np.concatenate([[0], np.cumsum(counts)])).to(words.offsets.device), numbers)
