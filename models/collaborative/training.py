"""Training of item vectors from behaviour, with LightGCN or DCCF.

A step computes the vectors of all nodes, so its cost grows with the edges. Therefore an epoch has the same number of
steps for a graph of any size: the cost of an epoch grows with the edges too, not with their square.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.collaborative.dccf import DCCF, Views, contrast
from models.collaborative.graph import InteractionGraph, Ints
from models.collaborative.lightgcn import LightGCN
from models.collaborative.warm_start import start_nodes

STEPS = 16  # of an epoch, or as many as there are edges if these are fewer
NEGATIVES = 512  # items that the edges of a step share
TEMPERATURE = 0.2
LEARNING_RATE = 0.01
ROWS_AT_ONCE = 8192  # edges whose scores are in memory
CONTRAST_ROWS = 1024  # users, and as many items, that a step of DCCF compares
CONTRAST_TEMPERATURE = 0.2
CONTRAST_WEIGHT = 0.01
Progress = Callable[[int, int], None]  # steps done, steps in all


class BehaviourVectors(NamedTuple):
    """What behaviour says about the items.

    vectors      [items, dim] float32 of unit length; 0 for an item without events
    has_vector   [items] bool, whether the item has events
    losses       mean loss of each epoch
    """

    vectors: Tensor
    has_vector: Tensor
    losses: list[float]


def fit(
    users: Ints,
    items: Ints,
    n_users: int,
    n_items: int,
    *,
    kind: Literal["lightgcn", "dccf"],
    seed: int,
    dim: int = 64,
    layers: int = 2,
    epochs: int = 30,
    intents: int = 64,
    device: str = "cpu",
    start: Tensor | None = None,
    progress: Progress | None = None,
) -> BehaviourVectors:
    """Learn vectors of items such that items of the same users are alike.

    The loss is a softmax over the cosine of a user with an item that the user acted on and with random items
    (Wu et al., arXiv 2201.02327); DCCF adds its contrastive loss. On a CPU, the same events, seed and number of threads
    give the same vectors, in whatever order the events come.

    users, items  [events] int64 index of the user and of the item
    kind          the graph network, see `models.collaborative.lightgcn` and `models.collaborative.dccf`
    intents       of DCCF
    start         [items, dim] vectors of an earlier training, 0 for an item without one: training starts from them
    raises        ValueError if there is no event or an index is out of range, FloatingPointError if training diverged
    """
    graph = InteractionGraph.build(users, items, n_users, n_items, device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = (
            LightGCN(graph, dim=dim, layers=layers)
            if kind == "lightgcn"
            else DCCF(graph, dim=dim, layers=layers, intents=intents)
        ).to(device)
    if start is not None:
        model.nodes.data = start_nodes(graph, start.to(device), model.nodes.data)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    rng, losses, steps = np.random.default_rng(seed), [], min(STEPS, len(graph.users))
    for epoch in range(epochs):
        total = 0.0
        for step, edges in enumerate(np.array_split(rng.permutation(len(graph.users)), steps)):
            optimizer.zero_grad()
            total += _add_gradients(model, graph, edges, rng)
            optimizer.step()
            if progress is not None:
                progress(epoch * steps + step + 1, epochs * steps)
        losses.append(total / steps)
        if not math.isfinite(total):
            raise FloatingPointError(f"epoch {epoch + 1} gives NaN or infinity")
    with torch.no_grad():
        vectors, _ = _run(model)
    has_vector = graph.degrees[n_users:] > 0
    return BehaviourVectors(F.normalize(vectors[n_users:], dim=1) * has_vector.unsqueeze(1), has_vector, losses)


def _run(model: LightGCN | DCCF) -> tuple[Tensor, list[Views]]:
    return (model(), []) if isinstance(model, LightGCN) else model()


def _add_gradients(
    model: LightGCN | DCCF, graph: InteractionGraph, edges: NDArray[np.int64], rng: np.random.Generator
) -> float:
    """Run the model once and add the gradients of a step. returns its loss"""
    nodes, views = _run(model)
    unit = F.normalize(nodes, dim=1)
    leaf = unit.detach().requires_grad_()  # collects the gradients of all rows, so that the graph is walked back once
    negatives = _draw(graph, rng, NEGATIVES, users=False)
    loss = 0.0
    for start in range(0, len(edges), ROWS_AT_ONCE):
        rows = torch.from_numpy(edges[start : start + ROWS_AT_ONCE]).to(leaf.device)
        part = sampled_softmax(leaf, graph.users[rows], graph.items[rows], negatives) / len(edges)
        torch.autograd.backward(part)
        loss += float(part.detach())
    parts, gradients = [unit], [leaf.grad]
    if views:
        sampled = [_draw(graph, rng, CONTRAST_ROWS, users=users) for users in (True, False)]
        contrasts = torch.stack([contrast(views, rows, CONTRAST_TEMPERATURE) for rows in sampled]).sum()
        parts, gradients = [*parts, CONTRAST_WEIGHT * contrasts], [*gradients, None]
        loss += CONTRAST_WEIGHT * float(contrasts.detach())
    torch.autograd.backward(parts, gradients)
    return loss


def sampled_softmax(unit: Tensor, users: Tensor, items: Tensor, negatives: Tensor) -> Tensor:
    """Sum of the cross-entropy of each edge's item among itself and the negatives.

    unit          [nodes, dim] vectors of unit length
    users, items  [edges] int64 nodes
    negatives     [negatives] int64 nodes of items; the item of an edge is no negative of this edge
    """
    user_vectors = unit[users]
    positive = (user_vectors * unit[items]).sum(dim=1, keepdim=True)
    others = (user_vectors @ unit[negatives].T).masked_fill(items.unsqueeze(1) == negatives, -torch.inf)
    logits = torch.cat([positive, others], dim=1) / TEMPERATURE
    return F.cross_entropy(logits, torch.zeros_like(users), reduction="sum")


def _draw(graph: InteractionGraph, rng: np.random.Generator, count: int, *, users: bool) -> Tensor:
    """At most `count` different users, or items, that have edges."""
    first = 0 if users else graph.n_users
    last = graph.n_users if users else graph.n_users + graph.n_items
    active = torch.nonzero(graph.degrees[first:last]).squeeze(1) + first
    return active[torch.from_numpy(rng.permutation(len(active))[:count]).to(active.device)]
