"""Vectors of a second day: near those of the first, on the same axes, and with what is new."""

import numpy as np
import torch
from torch.nn.functional import normalize

from models.collaborative import BehaviourVectors, fit, turn_onto
from models.collaborative.graph import InteractionGraph
from models.collaborative.warm_start import START_LENGTH, start_nodes
from tests.models.collaborative.toy import CLUSTERS, ITEMS, NEW_ITEMS, USERS, draw_events

OLD = ITEMS - NEW_ITEMS


def train(
    seed: int, epochs: int, start: torch.Tensor | None = None, *, with_new_items: bool = False
) -> BehaviourVectors:
    """Train on the toy world; on its second day, users of the same cluster act on the new items, too."""
    users, items = draw_events()
    if with_new_items:
        new_items = np.repeat(np.arange(OLD, ITEMS), USERS // CLUSTERS)
        new_users = np.tile(np.arange(USERS // CLUSTERS), NEW_ITEMS) * CLUSTERS + new_items % CLUSTERS
        users, items = np.r_[users, new_users], np.r_[items, new_items]
    return fit(users, items, USERS, ITEMS, kind="lightgcn", dim=16, epochs=epochs, seed=seed, start=start)


def test_a_warm_start_keeps_the_vectors_and_needs_few_epochs() -> None:
    first = train(0, 8)
    warm, cold = (train(1, 1, start, with_new_items=True) for start in (first.vectors, None))
    assert warm.losses[0] < cold.losses[0] - 0.2
    kept = torch.cosine_similarity(warm.vectors[:OLD], first.vectors[:OLD])
    assert kept.mean() > 0.9
    assert torch.cosine_similarity(cold.vectors[:OLD], first.vectors[:OLD]).mean() < 0.5
    nearest = (warm.vectors[OLD:] @ warm.vectors[:OLD].T).argmax(dim=1)
    assert (nearest % CLUSTERS == torch.arange(OLD, ITEMS) % CLUSTERS).all()  # an item without an older vector learns


def test_items_start_from_their_vectors_users_from_the_mean_of_their_items_and_others_at_random() -> None:
    graph = InteractionGraph.build(np.array([0, 0, 1]), np.array([0, 1, 2]), 3, 3)  # user 2 does nothing
    older, random = torch.tensor([[3.0, 0], [0, 5], [0, 0]]), torch.full((6, 2), 0.1)  # item 2 is new
    nodes = start_nodes(graph, older, random)
    half = START_LENGTH / 2**0.5
    expected = [[half, half], [0.1, 0.1], [0.1, 0.1], [START_LENGTH, 0], [0, START_LENGTH], [0.1, 0.1]]
    torch.testing.assert_close(nodes, torch.tensor(expected))


def test_vectors_are_turned_back_whatever_turned_them_and_new_items_turn_with_them() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = normalize(torch.randn(50, 8, generator=generator), dim=1)
    turn = torch.linalg.qr(torch.randn(8, 8, generator=generator)).Q
    older = vectors.clone()
    older[40:] = 0  # new items
    torch.testing.assert_close(turn_onto(vectors @ turn, older), vectors)


def test_turning_keeps_the_products_of_items_and_does_nothing_if_it_gains_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors, others = torch.randn(2, 30, 8, generator=generator)
    turned = turn_onto(vectors, others)
    torch.testing.assert_close(turned @ turned.T, vectors @ vectors.T, rtol=1e-4, atol=1e-4)
    assert (turned - others).square().sum() < (vectors - others).square().sum()
    assert torch.equal(turn_onto(turned, others), turned)
    assert torch.equal(turn_onto(others, turned), others)  # a first day that runs again keeps its axes
    assert torch.equal(turn_onto(vectors, torch.zeros_like(vectors)), vectors)  # no item in common
