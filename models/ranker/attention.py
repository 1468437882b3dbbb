"""How the events that the GSU found become one vector, given the target."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.ranker.design import Attention

HEADS = 4


class Seen(NamedTuple):
    """What attention is told.

    target         [batch, dim]
    items          [distinct, dim]
    at             [batch, k]: which of them an event is of
    told           [batch, k, dim]: what else is known of each event, or None
    sims, padding  [batch, k]
    """

    target: Tensor
    items: Tensor
    at: Tensor
    told: Tensor | None
    sims: Tensor
    padding: Tensor


class TargetAttention(nn.Module):
    """The target asks, the events answer.

    `target`: softmax of scaled products in several heads; DIN has a small network that weighs each event by itself
    (Zhou et al., KDD 2018). `semantic`: the similarity s of an event joins the product a as g1 a + g2 s + g3 a s (MUSE,
    arXiv 2512.07216). `quadratic`: products below zero count nothing and those above count as they are, so that many
    events of interest weigh more than one (QIN, arXiv 2504.15699).

    dim  of every vector, a multiple of HEADS
    k    events at most
    """

    def __init__(self, dim: int, kind: Attention, k: int) -> None:
        super().__init__()
        self.kind, self.k = kind, k
        self.query, self.key = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.nothing = nn.Parameter(torch.zeros(HEADS))
        self.mix = nn.Parameter(torch.tensor([1.0, 1.0, 0.0]).repeat(HEADS, 1)) if kind == "semantic" else None

    def forward(self, seen: Seen) -> Tensor:
        """One vector [batch, dim]; zeros where there is no event."""
        events = F.embedding(seen.at, seen.items)
        shares = self._shares(seen, events)
        if seen.told is not None:
            events = events + seen.told
        # Every head weighs whole events, then keeps its own part: one product, faster than one for each head.
        weighed = torch.bmm(shares, events).view(len(events), HEADS, HEADS, -1)
        return weighed.diagonal(dim1=1, dim2=2).transpose(1, 2).flatten(1)

    def shares(self, seen: Seen) -> Tensor:
        """How much each event weighs [batch, HEADS, k], from 0."""
        return self._shares(seen, F.embedding(seen.at, seen.items))

    def _shares(self, seen: Seen, events: Tensor) -> Tensor:
        b, k = seen.at.shape
        query = self.query(seen.target).view(b, HEADS, -1)
        # query . (key matrix . event + bias), with the matrix on the query's side: one row for k events.
        asked = torch.einsum("bhe,hed->bhd", query, self.key.weight.view(HEADS, -1, events.shape[2]))
        score = torch.bmm(asked, events.transpose(1, 2)) + (query * self.key.bias.view(HEADS, -1)).sum(2, keepdim=True)
        if seen.told is not None:
            score = score + torch.einsum("bhd,bkhd->bhk", query, seen.told.view(b, k, HEADS, query.shape[2]))
        score = score / query.shape[2] ** 0.5
        if self.mix is not None:
            own, similarity, both = self.mix.T.unsqueeze(2)
            s = seen.sims.unsqueeze(1)
            score = own * score + similarity * s + both * score * s
        padding = seen.padding.unsqueeze(1)
        if self.kind == "quadratic":
            share: Tensor = score.relu().masked_fill(padding, 0.0) / self.k**0.5
            return share
        nothing = self.nothing.expand(b, -1).unsqueeze(2)  # keeps an empty history defined
        return torch.cat([nothing, score.masked_fill(padding, -torch.inf)], dim=2).softmax(dim=2)[:, :, 1:]
