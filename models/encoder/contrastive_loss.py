"""A contrastive loss that pulls the items of a pair together, for batches that are larger than memory.

The batch may be shared by several workers, and its gradient is computed in chunks.

source  QARM V2 (arXiv 2602.08559), section 3.1; gradient cache: Gao et al. (arXiv 2101.06983)
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from models.distributed import worker_count, worker_index


class Encoded(NamedTuple):
    """What an encoder computes for some items.

    vectors        [items, dim], not normalised
    nll            [] sum of the negative log-likelihood of all answer tokens; 0 if there are no answers
    answer_tokens  how many answer tokens there are
    """

    vectors: Tensor
    nll: Tensor
    answer_tokens: int


class Tunable(Protocol):
    """An encoder that can be trained; the same random state gives the same result."""

    def __call__(self, batch: Any) -> Encoded: ...


class Losses(NamedTuple):
    contrastive: float
    answers: float  # mean over answer tokens, 0 if there are no answers


def contrastive_loss(vectors: Tensor, positive: Tensor, *, temperature: float) -> Tensor:
    """How badly the vectors tell each item's partners from the other items of the batch.

    loss = mean over ordered pairs (i, j) of -log(e_ij / (e_ij + sum of e_ik over the k that are neither partners
    of i nor partners' partners)), e = exp(cosine / temperature). Most pairs of later days connect an item with a
    partner's partner. If these were pushed apart, the encoder would unlearn tomorrow's pairs.

    vectors   [items, dim]
    positive  [items, items] bool, whether two items are partners; symmetric, false on the diagonal
    returns   []; 0 if there is no pair
    """
    unit = F.normalize(vectors.float(), dim=1)
    logits = unit @ unit.T / temperature
    negative = (positive.float() @ positive.float() == 0) & ~positive
    negative.fill_diagonal_(False)
    negatives = logits.masked_fill(~negative, -torch.inf).logsumexp(dim=1, keepdim=True)
    losses = F.softplus(negatives - logits)[positive]  # -log of a softmax over one partner and the negatives
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
    """Add the gradient of one batch to the model's parameters, as if the whole batch fitted into memory.

    Each chunk is encoded twice: first without a graph, to get the gradient of the joint loss with respect to the
    vectors; then with a graph, from that gradient. A batch of one chunk is encoded once. With several workers,
    `chunks` are this worker's part of the items, in the order of the workers, all parts equally long. The sum of all
    workers' gradients is that of the joint batch.

    positive  [items of all workers, items of all workers] bool, see `contrastive_loss`
    seed      of dropout: the same in both passes
    """
    with torch.no_grad():
        first_pass = [_encode(model, chunk, seed, n) for n, chunk in enumerate(chunks)] if len(chunks) > 1 else []
    only_pass = [] if first_pass else [_encode(model, chunks[0], seed, 0)]
    vectors = torch.cat([encoded.vectors.detach() for encoded in first_pass or only_pass])
    joint = _gather(vectors).requires_grad_()
    loss = contrastive_loss(joint, positive, temperature=temperature)
    loss.backward()  # type: ignore[no-untyped-call]  # torch gives it no types
    assert joint.grad is not None
    start = len(vectors) * worker_index()
    gradient = joint.grad[start : start + len(vectors)]
    tokens = _sum(sum(encoded.answer_tokens for encoded in first_pass or only_pass), vectors.device)
    nll, done = 0.0, 0
    for number, chunk in enumerate(chunks):
        encoded = only_pass[0] if only_pass else _encode(model, chunk, seed, number)
        part = gradient[done : done + len(encoded.vectors)]
        done += len(encoded.vectors)
        total = (encoded.vectors.float() * part).sum() + answer_weight * encoded.nll / max(tokens, 1)
        total.backward()  # type: ignore[no-untyped-call]  # as above
        nll += float(encoded.nll.detach())
    return Losses(float(loss.detach()), _sum(nll, vectors.device) / max(tokens, 1))


def _encode(model: Tunable, chunk: Any, seed: int, number: int) -> Encoded:
    torch.manual_seed((seed * 1009 + worker_index()) * 1009 + number)
    return model(chunk)


def _gather(vectors: Tensor) -> Tensor:
    """The vectors of all workers [items of all workers, dim] float32."""
    if not dist.is_initialized():
        return vectors.float()
    parts = [torch.empty_like(vectors, dtype=torch.float32) for _ in range(worker_count())]
    dist.all_gather(parts, vectors.float().contiguous())
    return torch.cat(parts)


def _sum(value: float, device: torch.device) -> float:
    """The sum of all workers' values."""
    if not dist.is_initialized():
        return value
    total = torch.tensor(value, dtype=torch.float64, device=device)
    dist.all_reduce(total)
    return float(total)
