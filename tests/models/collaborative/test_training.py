"""Item vectors from behaviour: what they say, and what they do not depend on."""

from itertools import pairwise
from typing import Literal

import numpy as np
import pytest
import torch

from models.collaborative import BehaviourVectors, fit
from models.collaborative.training import STEPS, sampled_softmax
from tests.models.collaborative.toy import CLUSTERS, ITEMS, NEW_ITEMS, USERS, Int64s, draw_events

Kind = Literal["lightgcn", "dccf"]
KINDS: tuple[Kind, ...] = ("lightgcn", "dccf")
OLD = ITEMS - NEW_ITEMS
both_kinds = pytest.mark.parametrize("kind", KINDS)


def train(kind: Kind, events: tuple[Int64s, Int64s], *, seed: int = 0, epochs: int = 4) -> BehaviourVectors:
    return fit(*events, USERS, ITEMS, kind=kind, dim=16, layers=2, epochs=epochs, seed=seed, intents=4)


@pytest.fixture(scope="module", params=KINDS)
def trained(request: pytest.FixtureRequest) -> BehaviourVectors:
    return train(request.param, draw_events())


def test_items_of_one_cluster_are_nearer_to_each_other_than_to_others(trained: BehaviourVectors) -> None:
    cosine = trained.vectors[:OLD] @ trained.vectors[:OLD].T
    cluster = torch.arange(OLD) % CLUSTERS
    is_same = cluster.unsqueeze(1) == cluster
    near = cosine.clone().fill_diagonal_(-1).argmax(dim=1)
    assert (cluster[near] == cluster).float().mean() > 0.95
    assert cosine[is_same].mean() > cosine[~is_same].mean() + 0.5


def test_the_loss_falls(trained: BehaviourVectors) -> None:
    assert len(trained.losses) == 4
    assert all(later < earlier for earlier, later in pairwise(trained.losses))


def test_an_item_without_events_is_marked_and_has_no_vector(trained: BehaviourVectors) -> None:
    assert trained.has_vector.tolist() == [True] * OLD + [False] * NEW_ITEMS
    assert not trained.vectors[OLD:].any()
    assert trained.vectors[:OLD].norm(dim=1) == pytest.approx(torch.ones(OLD), abs=1e-5)


@both_kinds
def test_the_same_seed_gives_the_same_vectors(kind: Kind) -> None:
    first, again, other = (train(kind, draw_events(), seed=seed, epochs=1).vectors for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@both_kinds
def test_neither_the_order_of_events_nor_repeated_events_change_the_vectors(kind: Kind) -> None:
    users, items = draw_events()
    order = np.random.default_rng(5).permutation(np.r_[np.arange(len(users)), np.arange(40)])
    shuffled = train(kind, (users[order], items[order]), epochs=1)
    assert torch.equal(shuffled.vectors, train(kind, (users, items), epochs=1).vectors)


@both_kinds
def test_an_epoch_has_the_same_number_of_steps_for_more_events(kind: Kind) -> None:
    for events, steps_an_epoch in (((np.arange(3), np.arange(3)), 3), (draw_events(), STEPS)):
        steps = list[tuple[int, int]]()
        fit(
            *events, USERS, ITEMS, kind=kind, dim=8, layers=1, epochs=2, seed=0, intents=2,
            progress=lambda *step, steps=steps: steps.append(step),
        )  # fmt: skip
        assert steps == [(n, 2 * steps_an_epoch) for n in range(1, 2 * steps_an_epoch + 1)]


def test_training_leaves_the_random_numbers_of_others_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    train("dccf", draw_events(), epochs=1)
    assert torch.equal(torch.rand(1), expected)


def test_the_loss_is_the_cross_entropy_of_the_item_among_the_negatives() -> None:
    unit = torch.eye(4)[[0, 0, 1, 2]]  # a user, and three items
    loss = sampled_softmax(unit, torch.tensor([0]), torch.tensor([1]), torch.tensor([1, 2, 3]))
    assert loss.item() == pytest.approx(-torch.tensor([5.0, 0, 0]).log_softmax(0)[0].item(), abs=1e-6)


@pytest.mark.parametrize(
    ("users", "items", "message"),
    [
        ([], [], "no event"),
        ([0, 1], [0], "differ in length"),
        ([USERS], [0], "a user index"),
        ([0], [ITEMS], "an item index"),
        ([0], [-1], "an item index"),
    ],
)
def test_events_that_make_no_graph_are_refused(users: list[int], items: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train("lightgcn", (np.array(users, np.int64), np.array(items, np.int64)))
