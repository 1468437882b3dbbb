"""The generator: predicts the next item of a history, or the semantic ID of that item.

A transformer reads the latest events of a history; heads turn the state after each event into a prediction of the
next one. A `Design` chooses how an item is described, the backbone and the heads.
Sources: SASRec (ICDM 2018), TIGER (NeurIPS 2023), RPG (arXiv 2506.05781).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.generator.backbone import Backbone
from models.generator.batches import latest_events, read_batch, similar_lengths
from models.generator.design import Design
from models.generator.heads import CodeDecoder, ParallelCodes
from models.generator.items import ItemEmbedding
from models.generator.scoring import Step
from models.generator.states import States
from models.generator.words import Words
from models.precision import mixed_precision
from models.ranker.histories import Histories, Int64s, Ints

EVENTS_AT_ONCE = 1 << 15  # read by `encode`


class Generator(nn.Module):
    """States of histories, and scores of items and codes for a state.

    Saved models carry the names of these arguments and of the submodules: neither can change.

    design      which of the parts below the model has
    n_items     items with an index
    code_sizes  codes per level, if the design reads codes
    text_dim    of the text vectors, if the design reads them
    seed        of the initial weights
    raises      ValueError if the design needs codes or text vectors and there are no sizes
    """

    def __init__(
        self, *, design: Design, n_items: int, code_sizes: tuple[int, ...] = (), text_dim: int = 0, seed: int = 0
    ) -> None:
        super().__init__()
        if (design.reads_codes and not code_sizes) or ("text" in design.inputs and not text_dim):
            raise ValueError(f"the inputs {design.inputs} and heads {design.heads} need code_sizes or text_dim")
        sizes = tuple(code_sizes) if design.reads_codes else ()
        text_dim = text_dim if "text" in design.inputs else 0
        self.settings: dict[str, Any] = {"n_items": n_items, "code_sizes": sizes, "text_dim": text_dim, "seed": seed}
        self.design, self.n_items = design, n_items
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.backbone = Backbone(design)
            self.items = ItemEmbedding(design, n_items, sizes, text_dim)
            self.decoder = CodeDecoder(design, len(sizes)) if "codes" in design.heads else None
            self.parallel = ParallelCodes(design, len(sizes)) if "parallel" in design.heads else None

    @property
    def device(self) -> torch.device:
        return self.items.known.device

    @torch.no_grad()
    def encode(self, histories: Histories, users: Ints, ends: Int64s) -> States:
        """The states of users [users] after the events before their ends [users]. Puts the model in evaluation mode.

        Memory is that of the result and of EVENTS_AT_ONCE events.
        """
        self.eval()
        device, length = self.device, self.design.length
        sequences = latest_events(histories, users, ends, length)
        last = torch.empty(len(users), self.design.dim, device=device)
        visible = torch.ones(len(users), dtype=torch.int64, device=device)
        reads_all = self.design.backbone == "encoder_decoder"
        history = torch.zeros(len(users), length + 1, self.design.dim, device=device) if reads_all else None
        for rows in similar_lengths(sequences, EVENTS_AT_ONCE):
            batch = read_batch(histories, sequences.take(rows), following=0)
            inputs, counts = (torch.from_numpy(part).to(device) for part in (batch.inputs, batch.counts))
            places = torch.from_numpy(rows).to(device)
            with mixed_precision(device):
                states = self.read(inputs).float()
            last[places], visible[places] = states[torch.arange(len(rows)), counts], counts + 1
            if history is not None:
                history[places, : states.shape[1]] = states
        return States(last, history, torch.arange(len(users), device=device), visible)

    @torch.no_grad()
    def encode_queries(self, words: Words, text: Tensor) -> States:
        """The states after queries: what to find items for a text with. Puts the model in evaluation mode.

        words   of the queries
        text    [queries, text_dim] of unit length, of the encoder of the items' texts; no columns if the design does
                not read them
        raises  ValueError if the design reads neither words nor text
        """
        if not self.design.reads_queries:
            raise ValueError(f"a model of the inputs {self.design.inputs} cannot read texts")
        self.eval()
        vectors = self.items.embed_queries(words.to(self.device), text.to(self.device))
        states = self.backbone(vectors.unsqueeze(1))
        rows = torch.arange(len(words), device=self.device)
        reads_all = self.design.backbone == "encoder_decoder"
        return States(states[:, 1], states if reads_all else None, rows, torch.full_like(rows, 2))

    def read(self, inputs: Tensor) -> Tensor:
        """The state after each event [batch, columns + 1, dim]; column c is the state after c events.

        inputs  [batch, columns] int64 items, PADDING after the last
        """
        distinct, places = torch.unique(inputs, return_inverse=True)
        states: Tensor = self.backbone(F.embedding(places, self.items(distinct)))
        return states

    def score_items(self, states: States) -> Tensor:
        """Scores [n, n_items] float32 by the head `items`, or else `parallel`. See `item_scorer`."""
        return self.item_scorer()(states)

    @torch.no_grad()
    def item_scorer(self) -> Callable[[States], Tensor]:
        """A function that scores all items [n, n_items] float32 for n states; -inf for items that nothing describes.

        It keeps the vectors of all items: use it for many states. Memory of a call is that of its result.
        raises  ValueError if the design has neither the head `items` nor `parallel`
        """
        if "items" in self.design.heads:
            items = torch.arange(self.n_items, device=self.device)
            vectors = torch.cat([self.items(part) for part in torch.split(items, EVENTS_AT_ONCE)])
            is_unknown = ~self.items.is_described()
            return torch.no_grad()(lambda states: (states.last @ vectors.T).masked_fill_(is_unknown, -torch.inf))
        if self.parallel is None:
            raise ValueError(f"the heads {self.design.heads} score no items: search the codes with a beam")
        return torch.no_grad()(self._score_by_parallel_codes)

    def _score_by_parallel_codes(self, states: States) -> Tensor:
        """The mean log-probability of an item's codes [n, n_items]."""
        assert self.parallel is not None
        scores = torch.zeros(len(states), self.n_items, device=self.device)
        levels = self.parallel(states.last, self.items.code_tables())
        for log_probabilities, codes in zip(levels, self.items.codes[:-1].unbind(1), strict=True):
            scores += F.pad(log_probabilities, (0, 1), value=-torch.inf)[:, codes] / len(levels)
        return scores

    def decode(self, level: int, states: States, prefixes: Tensor) -> Tensor:
        """Vectors [n, dim] whose products with the level's code embeddings are the logits of its codes.

        prefixes  [n, level] int64, the codes before the level
        raises    ValueError if the design has no head `codes`
        """
        if self.decoder is None:
            raise ValueError(f"codes are decoded by the head `codes`; this model has {self.design.heads}")
        decoded: Tensor = self.decoder(level, states, self.items.embed_codes(prefixes))
        return decoded

    def step(self, states: States) -> Step:
        """For the beam: logits of a level's codes, by the head `codes`. The beam shares them among existing codes."""
        tables = self.items.code_tables()

        @torch.no_grad()
        def score_codes(level: int, users: Tensor, prefixes: Tensor) -> Tensor:
            return self.decode(level, states.take(users), prefixes) @ tables[level].T

        return score_codes
