"""Pull the items of a pair together: contrastive loss in a batch of items, its gradient cached, across ranks.

source  QARM V2 (arXiv 2602.08559), section 3.1; gradient cache: Gao et al. (arXiv 2101.06983)
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F


class Encoded(NamedTuple):
    """What an encoder makes of some items.

    vectors        [items, dim], of any length
    nll            [] sum of the negative log-likelihood of all answer tokens; 0 where there are none
    answer_tokens  how many there are
    """

    vectors: Tensor
    nll: Tensor
    answer_tokens: int


class Tunable(Protocol):
    """An encoder that can be trained; the same random state gives the same result."""

    def __call__(self, batch: Any) -> Encoded: ...


class Losses(NamedTuple):
    contrastive: float
    answers: float  # mean over answer tokens, 0 where there are none


def contrastive(vectors: Tensor, positive: Tensor, *, temperature: float) -> Tensor:
    """Of each item, tell its partners from the other items of the batch.

    loss = mean over ordered pairs (i, j) of -log(e_ij / (e_ij + sum of e_ik over the k that are neither partners
    of i nor partners' partners)), e = exp(cosine / temperature). Most pairs that later days bring are of partners'
    partners: pushing those apart would unlearn tomorrow's pairs (bench/README.md, align).

    vectors   [items, dim]
    positive  [items, items] bool, symmetric, false on the diagonal
    returns   []; 0 where there is no pair
    """
    unit = F.normalize(vectors.float(), dim=1)
    logits = unit @ unit.T / temperature
    others = (positive.float() @ positive.float() == 0) & ~positive
    others.fill_diagonal_(False)
    rest = logits.masked_fill(~others, -torch.inf).logsumexp(dim=1, keepdim=True)
    losses = F.softplus(rest - logits)[positive]  # -log of a softmax over one partner and the rest
    return losses.mean() if len(losses) else unit.sum() * 0


def backward(
    model: Tunable,
    chunks: Sequence[Any],
    positive: Tensor,
    *,
    temperature: float,
    answer_weight: float,
    seed: int,
) -> Losses:
    """Add the gradient of one batch, as if it fitted into memory whole, to the model's parameters.

    Each chunk is encoded without a graph first; from the joint loss's gradient with respect to the vectors it
    is then encoded again with one. A batch of one chunk is encoded once. With `torch.distributed`, `chunks`
    are this rank's part of the items, in the order of ranks, all ranks' parts equally long, and the gradient
    is that of the joint batch on every rank.

    positive  [items of all ranks, items of all ranks] bool, see `contrastive`
    seed      of dropout: the same in both passes
    """
    with torch.no_grad():
        first = [_encode(model, chunk, seed, n) for n, chunk in enumerate(chunks)] if len(chunks) > 1 else []
    last = [] if first else [_encode(model, chunks[0], seed, 0)]
    mine = torch.cat([encoded.vectors.detach() for encoded in first or last])
    joint = _gather(mine).requires_grad_()
    loss = contrastive(joint, positive, temperature=temperature)
    loss.backward()  # type: ignore[no-untyped-call]  # torch gives it no types
    assert joint.grad is not None
    start = len(mine) * _rank()
    gradient = joint.grad[start : start + len(mine)]
    tokens = _sum(sum(encoded.answer_tokens for encoded in first or last), mine.device)
    nll, done = 0.0, 0
    for number, chunk in enumerate(chunks):
        encoded = last[0] if last else _encode(model, chunk, seed, number)
        part = gradient[done : done + len(encoded.vectors)]
        done += len(encoded.vectors)
        total = (encoded.vectors.float() * part).sum() + answer_weight * encoded.nll / max(tokens, 1)
        total.backward()  # type: ignore[no-untyped-call]  # as above
        nll += float(encoded.nll.detach())
    return Losses(float(loss.detach()), _sum(nll, mine.device) / max(tokens, 1))


def sum_gradients(parameters: Sequence[torch.nn.Parameter]) -> None:
    """The parts of the gradient that the ranks hold become the whole, on each of them."""
    if dist.is_initialized():
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)


def _encode(model: Tunable, chunk: Any, seed: int, number: int) -> Encoded:
    torch.manual_seed((seed * 1009 + _rank()) * 1009 + number)
    return model(chunk)


def _rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def _gather(vectors: Tensor) -> Tensor:
    if not dist.is_initialized():
        return vectors.float()
    parts = [torch.empty_like(vectors, dtype=torch.float32) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, vectors.float().contiguous())
    return torch.cat(parts)


def _sum(value: float, device: torch.device) -> float:
    if not dist.is_initialized():
        return value
    held = torch.tensor(value, dtype=torch.float64, device=device)
    dist.all_reduce(held)
    return float(held)
