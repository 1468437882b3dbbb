"""What the generator knows of items: their vectors, made of IDs, codes, texts and words."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.generator.batches import PADDING
from models.generator.design import Design
from models.generator.words import BUCKETS, Words


class ItemEmbedding(nn.Module):
    """An item's vector is a sum: an embedding of its ID, one for each code and word, and a projection of its text.

    The design says which of these there are. The row after the last item is the item that nothing is known of.

    known         [items + 1] bool, whether training saw the item: the others have no ID embedding
    codes         [items + 1, levels] int64; an item without codes has each level's size
    text          [items + 1, text_dim] float32 of unit length; zeros for an item without text
    word_offsets  [items + 2] int64 and
    word_numbers  [words] int64: see `Words`
    rarity        [BUCKETS] float32, how much a word counts: see `Words.weigh`
    """

    known: Tensor
    codes: Tensor
    text: Tensor
    word_offsets: Tensor
    word_numbers: Tensor
    rarity: Tensor

    def __init__(self, design: Design, n_items: int, code_sizes: tuple[int, ...], text_dim: int) -> None:
        super().__init__()
        self.design, self.n_items, dim = design, n_items, design.dim
        rows = n_items if "id" in design.inputs else 0
        self.ids = nn.Embedding(rows + 1, dim, padding_idx=rows, sparse=True)  # last row: no ID
        self.levels = nn.ModuleList(nn.Embedding(size + 1, dim, padding_idx=size) for size in code_sizes)
        self.project = nn.Linear(text_dim, dim) if text_dim else None
        self.words = nn.EmbeddingBag(BUCKETS, dim, mode="sum", sparse=True) if "words" in design.inputs else None
        for table in (self.ids, *self.levels):
            assert isinstance(table, nn.Embedding)
            nn.init.normal_(table.weight, std=0.02)
            nn.init.zeros_(table.weight[-1:].detach())
        if self.project is not None:
            nn.init.normal_(self.project.weight, std=0.02)
        if self.words is not None:  # larger than the others: it begins as a likeness of texts that share rare words
            nn.init.normal_(self.words.weight, std=0.05)
        self.query = nn.Parameter(torch.zeros(dim)) if design.reads_queries else None
        self.register_buffer("known", torch.zeros(n_items + 1, dtype=torch.bool))
        # training does not change these, so they are no part of a checkpoint
        codes = torch.tensor(code_sizes, dtype=torch.int64).repeat(n_items + 1, 1)
        self.register_buffer("codes", codes, persistent=False)
        self.register_buffer("text", torch.zeros(n_items + 1, text_dim), persistent=False)
        self.register_buffer("word_offsets", torch.zeros(n_items + 2, dtype=torch.int64), persistent=False)
        self.register_buffer("word_numbers", torch.zeros(0, dtype=torch.int64), persistent=False)
        self.register_buffer("rarity", torch.zeros(BUCKETS), persistent=False)

    def set_codes(self, codes: Tensor) -> None:
        """Set every item's codes [items, levels] int64; a row of -1: the item has no codes.

        raises  ValueError for another shape, or if a code is not below its level's size
        """
        sizes = self.codes[-1]
        if codes.shape != (self.n_items, len(sizes)):
            raise ValueError(f"codes are {list(codes.shape)}, expected {[self.n_items, len(sizes)]}")
        codes = codes.to(sizes.device)
        if (codes >= sizes).any():
            raise ValueError(f"a code is beyond its level's size, {sizes.tolist()}")
        self.codes[:-1] = torch.where(codes < 0, sizes, codes)

    def set_text(self, vectors: Tensor) -> None:
        """Set every item's text vector [items, text_dim], of any length; zeros: the item has no text.

        raises  ValueError for another shape
        """
        if vectors.shape != (self.n_items, self.text.shape[1]):
            raise ValueError(f"vectors are {list(vectors.shape)}, expected {[self.n_items, self.text.shape[1]]}")
        self.text[:-1] = F.normalize(vectors.to(self.text), dim=1)

    def set_words(self, words: Words) -> None:
        """Set the words of every item's text [items].

        raises  ValueError for another number of texts
        """
        if len(words) != self.n_items:
            raise ValueError(f"there are words of {len(words)} texts, expected {self.n_items}")
        device = self.known.device
        self.rarity = words.weigh().to(device)
        self.word_offsets = torch.cat([words.offsets, words.offsets[-1:]]).to(device)
        self.word_numbers = words.numbers.to(device)

    def words_of(self, items: Tensor) -> Words:
        """The words of items [n]: what `set_words` received."""
        return Words(self.word_offsets, self.word_numbers).take(items)

    def all_words(self) -> Words:
        """The words of every item [items]: what `set_words` received."""
        return Words(self.word_offsets[:-1], self.word_numbers)

    def codes_of(self, items: Tensor) -> Tensor:
        """The codes [n, levels] of items [n]: what `set_codes` received, -1 for items without codes."""
        codes = self.codes[items]
        return torch.where(codes == self.codes[-1], -1, codes)

    def forward(self, items: Tensor) -> Tensor:
        """Vectors [n, dim] of items [n] int64, zeros for PADDING.

        Items that no training saw have no ID embedding: their text and codes describe them.
        """
        items = torch.where(items == PADDING, self.n_items, items)
        has_id = self.known[items] & ("id" in self.design.inputs)
        if self.training and self.design.id_dropout:
            has_id = has_id & (torch.rand(len(items), device=items.device) >= self.design.id_dropout)
        vectors: Tensor = self.ids(torch.where(has_id, items, self.ids.num_embeddings - 1))
        if "codes" in self.design.inputs:
            vectors = vectors + self.embed_codes(self.codes[items])
        if self.project is not None:
            vectors = vectors + self.project(self.text[items])
        if self.words is not None:
            vectors = vectors + self.embed_words(self.words_of(items))
        return vectors

    def embed_queries(self, words: Words, text: Tensor) -> Tensor:
        """Vectors [queries, dim] of texts that are searched for: a vector that says so, their words and their text.

        words  of the queries
        text   [queries, text_dim] of unit length; zeros for a query without a text vector
        """
        assert self.query is not None
        vectors = self.query.expand(len(words), -1)
        if self.project is not None:
            vectors = vectors + self.project(text)
        return vectors if self.words is None else vectors + self.embed_words(words)

    def embed_words(self, words: Words) -> Tensor:
        """The sums [texts, dim] of the embeddings of the words of texts, by their rarity (TF-IDF of unit length)."""
        assert self.words is not None
        weights, texts = self.rarity[words.numbers], torch.repeat_interleave(words.offsets.diff())
        squares = weights.new_zeros(len(words)).index_add(0, texts, weights**2)
        weights = weights * squares.clamp(min=1e-12).rsqrt()[texts]
        vectors: Tensor = self.words(words.numbers, words.offsets[:-1], per_sample_weights=weights)
        return vectors

    def embed_codes(self, codes: Tensor) -> Tensor:
        """The sum [n, dim] of the embeddings of the first levels' codes [n, levels or fewer]."""
        total = self.ids.weight.new_zeros(len(codes), self.design.dim)
        for table, level_codes in zip(self.levels, codes.unbind(1), strict=False):
            total = total + table(level_codes)
        return total

    def is_described(self) -> Tensor:
        """Which items [items] bool have an ID embedding, codes, a text or words: nothing is known of the others."""
        described = self.known & ("id" in self.design.inputs)
        if "codes" in self.design.inputs:
            described = described | (self.codes < self.codes[-1]).all(dim=1)
        return described[:-1] | self.has_text()

    def has_text(self) -> Tensor:
        """Which items [items] bool have a text vector or words that the design reads."""
        has_vector = (self.text != 0).any(dim=1)
        return (has_vector if self.words is None else has_vector | (self.word_offsets.diff() > 0))[:-1]

    def code_tables(self) -> list[Tensor]:
        """The embeddings [codes, dim] of each level."""
        return [table.weight[:-1] for table in self.levels if isinstance(table, nn.Embedding)]
