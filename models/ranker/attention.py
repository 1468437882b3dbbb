"""How the events that the GSU found become one vector, given the target item."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.ranker.design import Attention

HEADS = 4


class AttentionInput(NamedTuple):
    """The input of attention.

    target          [batch, dim]
    items           [distinct, dim] embeddings of the distinct items
    event_items     [batch, k] row of `items` that each event is about
    event_features  [batch, k, dim] further features of each event, or None
    sims, padding   [batch, k]
    """

    target: Tensor
    items: Tensor
    event_items: Tensor
    event_features: Tensor | None
    sims: Tensor
    padding: Tensor


class TargetAttention(nn.Module):
    """The target is the query, the events are keys and values.

    `target`: softmax of scaled products in several heads. DIN instead weights each event alone with a small network
    (Zhou et al., KDD 2018). `semantic`: the similarity s of an event joins the product a as g1 a + g2 s + g3 a s (MUSE,
    arXiv 2512.07216). `quadratic`: negative products count as zero and positive ones count unchanged, so many
    interesting events weigh more than one (QIN, arXiv 2504.15699).

    dim  of every vector, a multiple of HEADS
    k    maximum number of events
    """

    def __init__(self, dim: int, kind: Attention, k: int) -> None:
        super().__init__()
        self.kind, self.k = kind, k
        self.query, self.key = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.nothing = nn.Parameter(torch.zeros(HEADS))
        self.mix = nn.Parameter(torch.tensor([1.0, 1.0, 0.0]).repeat(HEADS, 1)) if kind == "semantic" else None

    def forward(self, inputs: AttentionInput) -> Tensor:
        """One vector [batch, dim]; zeros for rows without events."""
        events = F.embedding(inputs.event_items, inputs.items)
        weights = self._compute_weights(inputs, events)
        if inputs.event_features is not None:
            events = events + inputs.event_features
        # Every head weights whole events, then keeps its own part of the vector. One product for all heads is faster
        # than one for each.
        weighted = torch.bmm(weights, events).view(len(events), HEADS, HEADS, -1)
        return weighted.diagonal(dim1=1, dim2=2).transpose(1, 2).flatten(1)

    def compute_weights(self, inputs: AttentionInput) -> Tensor:
        """The weight of each event [batch, HEADS, k], 0 or more."""
        return self._compute_weights(inputs, F.embedding(inputs.event_items, inputs.items))

    def _compute_weights(self, inputs: AttentionInput, events: Tensor) -> Tensor:
        b, k = inputs.event_items.shape
        query = self.query(inputs.target).view(b, HEADS, -1)
        # query . (key matrix . event + bias): the matrix is applied to the query, which is one row for k events.
        projected = torch.einsum("bhe,hed->bhd", query, self.key.weight.view(HEADS, -1, events.shape[2]))
        score = torch.bmm(projected, events.transpose(1, 2))
        score = score + (query * self.key.bias.view(HEADS, -1)).sum(2, keepdim=True)
        if inputs.event_features is not None:
            features = inputs.event_features.view(b, k, HEADS, query.shape[2])
            score = score + torch.einsum("bhd,bkhd->bhk", query, features)
        score = score / query.shape[2] ** 0.5
        if self.mix is not None:
            product_weight, similarity_weight, both_weight = self.mix.T.unsqueeze(2)
            s = inputs.sims.unsqueeze(1)
            score = product_weight * score + similarity_weight * s + both_weight * score * s
        padding = inputs.padding.unsqueeze(1)
        if self.kind == "quadratic":
            weights: Tensor = score.relu().masked_fill(padding, 0.0) / self.k**0.5
            return weights
        nothing = self.nothing.expand(b, -1).unsqueeze(2)  # keeps the softmax of an empty history defined
        return torch.cat([nothing, score.masked_fill(padding, -torch.inf)], dim=2).softmax(dim=2)[:, :, 1:]
