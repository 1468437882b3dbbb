"""Vectors that stay comparable from day to day: training starts from older vectors, and its axes are turned onto them.

Without it, each training would lay the same items along other axes, and a codebook of older vectors would be useless.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.collaborative.graph import InteractionGraph

# Of the vectors that training starts from. The longer they are, the less a step of the optimiser turns them. With 3,
# five epochs on amazon_beauty rank the validation items as well as 30 epochs from scratch.
START_LENGTH = 3.0
ROUNDING = 1e-5  # a smaller share of the similarity of two sets of vectors is a rounding error


def start_nodes(graph: InteractionGraph, items: Tensor, nodes: Tensor) -> Tensor:
    """Where training starts: [nodes, dim] float32.

    An item with an older vector starts from it, and a user from the mean of the user's items.

    items  [items, dim] older vectors; 0 for an item without one
    nodes  [nodes, dim] random vectors, for items and users without anything older
    """
    known = torch.cat([items.new_zeros(graph.n_users, items.shape[1]), F.normalize(items, dim=1)]).to(nodes)
    users = graph.propagate(torch.ones_like(graph.items, dtype=nodes.dtype), known)
    known[: graph.n_users] = F.normalize(users[: graph.n_users], dim=1)
    return torch.where(known.any(dim=1, keepdim=True), START_LENGTH * known, nodes)


def turn_onto(vectors: Tensor, others: Tensor) -> Tensor:
    """Turn all vectors [items, dim] together, so that they come as near as possible to the others [items, dim].

    Distances and angles between items stay. Items without a vector (0) on either side do not count. If no turn brings
    them nearer by more than a rounding error, the vectors stay as they are.
    Source: Schönemann, A generalized solution of the orthogonal Procrustes problem (1966).
    """
    in_both = vectors.any(dim=1) & others.any(dim=1)
    products = vectors[in_both].double().T @ others[in_both].double()
    left, gains, right = torch.linalg.svd(products)
    if float(products.trace()) >= (1 - ROUNDING) * float(gains.sum()):
        return vectors
    turned: Tensor = vectors.double() @ (left @ right)
    return turned.to(vectors)
