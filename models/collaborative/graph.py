"""The graph of users and items: an edge joins a user with an item that the user acted on.

Users are the nodes [0, n_users), items the nodes [n_users, n_users + n_items). All operations need time and memory that
grow with the edges and with the nodes, never with users times items.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Ints = NDArray[np.integer]


@dataclass(frozen=True)
class InteractionGraph:
    """Each edge once, sorted by user and item; and a sparse matrix in CSR form that holds it in both directions.

    n_users, n_items  how many users and items have an index
    users             [edges] int64 node of the user
    items             [edges] int64 node of the item
    degrees           [nodes] float32 number of edges of each node
    offsets           [nodes + 1] where the entries of each node begin in the matrix
    neighbours        [2 * edges] the other node of each entry
    edges             [2 * edges] int64 the edge of each entry
    """

    n_users: int
    n_items: int
    users: Tensor
    items: Tensor
    degrees: Tensor
    offsets: Tensor
    neighbours: Tensor
    edges: Tensor

    @classmethod
    def build(cls, users: Ints, items: Ints, n_users: int, n_items: int, device: str = "cpu") -> "InteractionGraph":
        """Build the graph of events [events]. Their order does not matter, and repeated events are one edge.

        raises  ValueError if there is no event, the lengths differ, or an index is out of range
        """
        _check_events(users, items, n_users, n_items)
        user, item = np.divmod(np.unique(users.astype(np.int64) * n_items + items), n_items)
        edges, nodes = np.arange(len(user)), n_users + n_items
        heads, tails = np.concatenate([user, item + n_users]), np.concatenate([item + n_users, user])
        order = np.argsort(heads, kind="stable")  # a node's entries are then in the order of the other node
        degrees = np.bincount(heads, minlength=nodes)
        index = np.int32 if len(heads) < 1 << 31 else np.int64  # the sparse product is faster with int32

        def to_device(values: NDArray[Any]) -> Tensor:
            return torch.from_numpy(values).to(device)

        return cls(
            n_users, n_items, to_device(user), to_device(item + n_users), to_device(degrees.astype(np.float32)),
            to_device(np.concatenate([[0], np.cumsum(degrees)]).astype(index)), to_device(tails[order].astype(index)),
            to_device(np.concatenate([edges, edges])[order]),
        )  # fmt: skip

    def symmetric_weights(self) -> Tensor:
        """[edges] 1 / root of the product of both nodes' degrees, as in LightGCN."""
        return (self.degrees[self.users] * self.degrees[self.items]).rsqrt()

    def propagate(self, weights: Tensor, x: Tensor) -> Tensor:
        """Give every node the sum of its neighbours' vectors, times the weights of the edges.

        weights  [edges] float32
        x        [nodes, dim] float32
        returns  [nodes, dim]; 0 for a node without edges
        """
        result: Tensor = _Propagate.apply(self, weights, x)
        return result

    def edge_products(self, x: Tensor) -> Tensor:
        """The inner product [edges] of the two nodes of each edge. x: [nodes, dim]"""
        result: Tensor = _EdgeProducts.apply(self, x)
        return result

    def _multiply(self, weights: Tensor, x: Tensor) -> Tensor:
        matrix = _build_matrix(self.offsets, self.neighbours, weights[self.edges], len(self.degrees))
        return matrix @ x

    def _multiply_edges(self, x: Tensor, y: Tensor) -> Tensor:
        """The product [edges] of each edge's user in x and its item in y, both [nodes, dim]."""
        # The users are the first rows of the matrix, so their entries are the edges in order.
        offsets, neighbours = self.offsets[: self.n_users + 1], self.neighbours[: len(self.users)]
        pattern = _build_matrix(offsets, neighbours, x.new_zeros(len(self.users)), len(self.degrees))
        products: Tensor = torch.sparse.sampled_addmm(pattern, x[: self.n_users], y.T, beta=0.0).values()
        return products


def _build_matrix(offsets: Tensor, columns: Tensor, values: Tensor, width: int) -> Tensor:
    """A sparse matrix [rows, width] in CSR form."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(offsets, columns, values, (len(offsets) - 1, width), check_invariants=False)


class _Propagate(torch.autograd.Function):
    """The matrix is symmetric, so the gradient of x is another propagation."""

    @staticmethod
    def forward(ctx: Any, graph: InteractionGraph, weights: Tensor, x: Tensor) -> Tensor:
        ctx.graph = graph
        ctx.save_for_backward(weights, x)
        return graph._multiply(weights, x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor | None, Tensor | None]:
        graph, (weights, x) = ctx.graph, ctx.saved_tensors
        gradient = gradient.contiguous()
        weights_gradient = None
        if ctx.needs_input_grad[1]:
            weights_gradient = graph._multiply_edges(gradient, x) + graph._multiply_edges(x, gradient)
        return None, weights_gradient, graph._multiply(weights, gradient) if ctx.needs_input_grad[2] else None


class _EdgeProducts(torch.autograd.Function):
    """Keeps no vector per edge for the gradient, which is a propagation."""

    @staticmethod
    def forward(ctx: Any, graph: InteractionGraph, x: Tensor) -> Tensor:
        ctx.graph = graph
        ctx.save_for_backward(x)
        return graph._multiply_edges(x, x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, ctx.graph._multiply(gradient, ctx.saved_tensors[0])


def _check_events(users: Ints, items: Ints, n_users: int, n_items: int) -> None:
    if len(users) != len(items):
        raise ValueError(f"users and items differ in length: {len(users)} and {len(items)}")
    if not len(users):
        raise ValueError("there is no event, so no item has a behaviour vector")
    for name, values, count in (("a user", users, n_users), ("an item", items, n_items)):
        if values.min() < 0 or values.max() >= count:
            raise ValueError(f"{name} index is outside [0, {count})")
