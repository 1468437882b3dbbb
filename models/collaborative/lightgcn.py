"""LightGCN: a node's vector is the mean of its own table row and of what its neighbours pass on, layer by layer.

Source: He et al., LightGCN (SIGIR 2020, arXiv 2002.02126).
"""

import torch
from torch import Tensor, nn

from models.collaborative.graph import InteractionGraph

START_STD = 0.1


class LightGCN(nn.Module):
    """Vectors of all nodes of a graph. The only weights are one vector for each node.

    dim     of all vectors
    layers  how many edges away a node still has an influence
    """

    def __init__(self, graph: InteractionGraph, *, dim: int, layers: int) -> None:
        super().__init__()
        self.graph, self.layers = graph, layers
        self.edge_weights = graph.symmetric_weights()
        self.nodes = nn.Parameter(START_STD * torch.randn(graph.n_users + graph.n_items, dim))

    def forward(self) -> Tensor:
        """Vectors [nodes, dim] float32."""
        total: Tensor = self.nodes
        x: Tensor = self.nodes
        for _ in range(self.layers):
            x = self.graph.propagate(self.edge_weights, x)
            total = total + x
        return total / (self.layers + 1)
