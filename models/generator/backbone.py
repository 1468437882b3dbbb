"""The transformer over a history: the state after each event depends on this event and earlier ones only."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.dropout import dropout
from models.generator.design import Design


class Block(nn.Module):
    """Pre-norm attention and feed-forward network. Each attention head learns a bias for each distance."""

    def __init__(self, design: Design) -> None:
        super().__init__()
        dim = design.dim
        self.heads, self.dropout = design.attention, design.block_dropout
        self.attention_norm, self.network_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.bias = nn.Parameter(torch.zeros(design.attention, design.length))
        self.wide, self.narrow = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor, distance: Tensor) -> Tensor:
        """New vectors [batch, length, dim] from vectors of that shape.

        distance  [length, length] how many events the second position lies before the first; negative: after it
        """
        x = x + self._drop(self.out(self._attend(self.attention_norm(x), distance)))
        hidden = self._drop(F.gelu(self.wide(self.network_norm(x))))
        return x + self._drop(self.narrow(hidden))

    def _attend(self, x: Tensor, distance: Tensor) -> Tensor:
        query, key, value = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        bias = self.bias[:, distance.clamp(min=0)].masked_fill(distance < 0, -torch.inf).to(query.dtype)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias.unsqueeze(0))
        return attended.transpose(1, 2).flatten(2)

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.dropout, self.training)


class Backbone(nn.Module):
    """Turns the item vectors of histories into states.

    The state of a history without events is learned: it is the first state of every history.
    """

    def __init__(self, design: Design) -> None:
        super().__init__()
        self.dropout = design.dropout
        self.blocks = nn.ModuleList(Block(design) for _ in range(design.layers))
        self.norm = nn.LayerNorm(design.dim)
        self.empty = nn.Parameter(torch.zeros(design.dim))

    def forward(self, x: Tensor) -> Tensor:
        """States [batch, length + 1, dim]; column c is the state after c events.

        x  [batch, length, dim] item vectors. Padding is at the end: no event sees it
        """
        if x.shape[1]:
            places = torch.arange(x.shape[1], device=x.device)
            x = dropout(x * x.shape[2] ** 0.5, self.dropout, self.training)
            for block in self.blocks:
                x = block(x, places.unsqueeze(1) - places)
        states: Tensor = self.norm(torch.cat([self.empty.expand(len(x), 1, -1).to(x.dtype), x], dim=1))
        return states
