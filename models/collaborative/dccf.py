"""DCCF: a graph network whose nodes also see global intents, and views of the graph that a contrastive loss compares.

Source: Ren et al., Disentangled Contrastive Collaborative Filtering (SIGIR 2023, arXiv 2305.02759).
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.collaborative.graph import InteractionGraph
from models.collaborative.lightgcn import START_STD

Views = tuple[Tensor, Tensor, Tensor, Tensor]


class DCCF(nn.Module):
    """Vectors of all nodes of a graph.

    A layer has four views of each node: what its neighbours pass on; its mixture of intents, which all users (or all
    items) share; and twice what its neighbours pass on when the weights of the edges depend on how similar both nodes
    are, in the first view and in the second. These weights are the adaptive mask: they fade edges that look like noise.

    dim      of all vectors
    layers   how many edges away a node still has an influence
    intents  number of intents of the users, and as many of the items
    """

    def __init__(self, graph: InteractionGraph, *, dim: int, layers: int, intents: int) -> None:
        super().__init__()
        self.graph, self.layers = graph, layers
        self.edge_weights = graph.symmetric_weights()
        self.nodes = nn.Parameter(START_STD * torch.randn(graph.n_users + graph.n_items, dim))
        self.user_intents = nn.Parameter(nn.init.xavier_uniform_(torch.empty(intents, dim)))
        self.item_intents = nn.Parameter(nn.init.xavier_uniform_(torch.empty(intents, dim)))

    def forward(self) -> tuple[Tensor, list[Views]]:
        """Vectors [nodes, dim] float32, and the four views [nodes, dim] of each layer."""
        total: Tensor = self.nodes
        x: Tensor = self.nodes
        views: list[Views] = []
        for _ in range(self.layers):
            local = self.graph.propagate(self.edge_weights, x)
            intent = self._mix_intents(x)
            views.append((local, intent, self._propagate_masked(local, x), self._propagate_masked(intent, x)))
            x = x + torch.stack(views[-1]).sum(dim=0)
            total = total + x
        return total, views

    def _mix_intents(self, x: Tensor) -> Tensor:
        parts = (x[: self.graph.n_users], x[self.graph.n_users :])
        tables = (self.user_intents, self.item_intents)
        return torch.cat([(part @ table.T).softmax(1) @ table for part, table in zip(parts, tables, strict=True)])

    def _propagate_masked(self, view: Tensor, x: Tensor) -> Tensor:
        """The mean of the neighbours in x, weighted by how similar they are to the node in the view."""
        mask = (self.graph.edge_products(F.normalize(view, dim=1)) + 1) / 2
        share = self.graph.propagate(mask, torch.ones_like(x[:, :1]))
        return self.graph.propagate(mask, x) / share.clamp(min=1e-6)


def contrast(views: list[Views], rows: Tensor, temperature: float) -> Tensor:
    """Ask of each node's first view that it is nearer to the node's other views than to those of other nodes (InfoNCE).

    views    as DCCF gives them
    rows     [rows] int64 nodes that are compared with each other: all of them users, or all of them items
    returns  mean cross-entropy over the rows, summed over views and layers
    """
    return torch.stack(list(_contrast_pairs(views, rows, temperature))).sum()


def _contrast_pairs(views: list[Views], rows: Tensor, temperature: float) -> Iterator[Tensor]:
    own = torch.arange(len(rows), device=rows.device)
    for layer in views:
        local, *others = (F.normalize(view[rows], dim=1) for view in layer)
        for other in others:
            yield F.cross_entropy(local @ other.T / temperature, own)
