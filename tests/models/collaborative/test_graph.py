"""The graph's two operations, compared with dense matrices, and their gradients."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from models.collaborative.dccf import DCCF
from models.collaborative.graph import InteractionGraph
from models.collaborative.lightgcn import LightGCN

USERS, ITEMS = 5, 7


@pytest.fixture
def graph() -> InteractionGraph:
    """A graph with a user and an item without edges."""
    rng = np.random.default_rng(0)
    return InteractionGraph.build(rng.integers(0, USERS - 1, 15), rng.integers(0, ITEMS - 1, 15), USERS, ITEMS)


def make_dense(graph: InteractionGraph, weights: Tensor) -> Tensor:
    matrix = torch.zeros(USERS + ITEMS, USERS + ITEMS, dtype=weights.dtype)
    matrix[graph.users, graph.items] = weights
    return matrix + matrix.T


def test_a_node_gets_the_weighted_sum_of_its_neighbours(graph: InteractionGraph) -> None:
    weights, x = torch.rand(len(graph.users)), torch.randn(USERS + ITEMS, 3)
    passed = graph.propagate(weights, x)
    torch.testing.assert_close(passed, make_dense(graph, weights) @ x)
    assert not passed[[USERS - 1, -1]].any()


def test_the_gradients_are_right(graph: InteractionGraph) -> None:
    weights = torch.rand(len(graph.users), dtype=torch.float64, requires_grad=True)
    x = torch.randn(USERS + ITEMS, 3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(graph.propagate, (weights, x))
    assert gradcheck(graph.edge_products, (x,))


def test_the_products_of_an_edge_are_those_of_its_nodes(graph: InteractionGraph) -> None:
    x = torch.randn(USERS + ITEMS, 3)
    torch.testing.assert_close(graph.edge_products(x), (x @ x.T)[graph.users, graph.items])


def test_lightgcn_is_the_mean_of_the_powers_of_the_normalised_matrix(graph: InteractionGraph) -> None:
    model = LightGCN(graph, dim=3, layers=2)
    degrees = graph.degrees.clamp(min=1).rsqrt()
    matrix = make_dense(graph, torch.ones(len(graph.users))) * degrees * degrees.unsqueeze(1)
    expected = (model.nodes + matrix @ model.nodes + matrix @ matrix @ model.nodes) / 3
    torch.testing.assert_close(model(), expected)


def test_a_layer_of_dccf_is_what_the_paper_says(graph: InteractionGraph) -> None:
    model = DCCF(graph, dim=3, layers=1, intents=2)
    x, degrees = model.nodes, graph.degrees.clamp(min=1).rsqrt()
    adjacency = make_dense(graph, torch.ones(len(graph.users)))
    local = (adjacency * degrees * degrees.unsqueeze(1)) @ x
    tables = (model.user_intents, model.item_intents)
    parts = zip((x[:USERS], x[USERS:]), tables, strict=True)
    intent = torch.cat([(part @ table.T).softmax(dim=1) @ table for part, table in parts])
    masked = []
    for view in (local, intent):
        similarity = torch.cosine_similarity(view.unsqueeze(1), view.unsqueeze(0), dim=2)
        mask = adjacency * (similarity + 1) / 2
        masked.append(mask / mask.sum(dim=1, keepdim=True).clamp(min=1e-6) @ x)
    vectors, (views,) = model()
    for view, expected in zip(views, (local, intent, *masked), strict=True):
        torch.testing.assert_close(view, expected)
    torch.testing.assert_close(vectors, 2 * x + local + intent + sum(masked))
