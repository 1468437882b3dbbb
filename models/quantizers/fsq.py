"""The last level: binary finite scalar quantisation of a residual, by a small auto-encoder.

Finite scalar quantisation (arXiv 2309.15505) with one binary digit per dimension, as in QARM V2 (arXiv
2602.08559), section 3.2. The paper does not say how the projection is trained. Here: an auto-encoder with a
straight-through estimator, and two separation terms, each log(1 + the expected number of other items with an item's
ID). The first is told which items the levels before left together. The second is told of items to come: it moves
an item by the difference of two others that share a bucket, and keeps the two places apart, wherever the item lies. The
logarithm leaves room for rebuilding where buckets hold more items than there are codes. What each is worth:
bench/README.md, quantize.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

_HIDDEN = 512
_ROWS, _PAIRS = 512, 512  # per step
_RATE = 3e-3
_GO_ON = 0.3  # of the rate, for a refit
_KEEP = 3.0  # weight of keeping the bits of items that are still in their bucket, for a refit
_SHARPNESS = 2.0
_APART = 3.0  # weight of each separation term against the rebuild error


class BinaryFSQ(nn.Module):
    """Residual to bits and back. Weights only; all of them are in `state_dict`."""

    scale: Tensor

    def __init__(self, dim: int, bits: int, hidden: int = _HIDDEN) -> None:
        super().__init__()
        self.dim, self.bits = dim, bits
        self.register_buffer("scale", torch.ones(1))
        self.encoder = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, bits))
        self.decoder = nn.Sequential(nn.Linear(bits, hidden), nn.ReLU(), nn.Linear(hidden, dim))

    def logits(self, residual: Tensor) -> Tensor:
        """[items, dim] to [items, bits]; a bit is 1 where its logit is above 0."""
        logits: Tensor = self.encoder(residual / self.scale)
        return logits

    def rebuild(self, bits: Tensor) -> Tensor:
        """Bits [items, bits] of 0 and 1 to [items, dim]."""
        residual: Tensor = self.decoder(2 * bits - 1) * self.scale
        return residual

    def encode(self, residual: Tensor) -> Tensor:
        """[items, dim] to the bits read as one integer, the first bit highest: [items] int64."""
        return ((self.logits(residual) > 0).long() * self._places(residual.device)).sum(1)

    def decode(self, codes: Tensor) -> Tensor:
        """[items] int64 to [items, dim]."""
        bits = (codes[:, None] & self._places(codes.device)) > 0
        return self.rebuild(bits.to(self.scale.dtype))

    def with_bits(self, order: list[int], flip: list[bool]) -> "BinaryFSQ":
        """The same quantiser with its bits in another order, some in the other sense: bit n was bit order[n]."""
        sign = torch.tensor([-1.0 if turned else 1.0 for turned in flip], dtype=self.scale.dtype)
        state = {name: weight.clone() for name, weight in self.state_dict().items()}
        state["encoder.2.weight"] = state["encoder.2.weight"][order] * sign[:, None]
        state["encoder.2.bias"] = state["encoder.2.bias"][order] * sign
        state["decoder.0.weight"] = state["decoder.0.weight"][:, order] * sign
        other = BinaryFSQ(self.dim, self.bits, len(state["encoder.0.weight"])).to(self.scale.dtype)
        other.load_state_dict(state)
        return other.requires_grad_(False).eval()

    def _places(self, device: torch.device) -> Tensor:
        return 1 << torch.arange(self.bits - 1, -1, -1, device=device)


def fit_fsq(
    residual: Tensor,
    buckets: Tensor,
    *,
    bits: int,
    steps: int,
    seed: int,
    tick: Callable[[int], None],
    start: BinaryFSQ | None = None,
    kept: Tensor | None = None,
) -> BinaryFSQ:
    """Train on the residuals of distinct items.

    residual  [items, dim] float32
    buckets   [items] int64; rows with the same number share all codes of the levels before
    tick      called with 1 after every step
    start     go on from this one, in smaller steps
    kept      [items] int64 the code that a row is to keep, if it can; -1: any
    """
    generator = torch.Generator().manual_seed(seed)
    model = BinaryFSQ(residual.shape[1], bits)
    _initialise(model, residual, generator)
    if start is not None:
        model.load_state_dict(start.state_dict())
    rate = _RATE if start is None else _RATE * _GO_ON
    pairs = _Pairs(buckets, generator)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=rate, total_steps=max(steps, 1))
    with one_thread():
        for _ in range(steps):
            loss = _loss(model, residual, pairs, generator, kept)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
            tick(1)
    return model


@contextmanager
def one_thread() -> Iterator[None]:
    """Small steps gain nothing from more threads; with one, weights do not depend on the number of cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _initialise(model: BinaryFSQ, residual: Tensor, generator: torch.Generator) -> None:
    root_mean_square = residual.double().square().mean().sqrt().float()
    if root_mean_square > 0:
        model.scale.fill_(root_mean_square)
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(weight)
        else:
            nn.init.xavier_uniform_(weight, generator=generator)


def _loss(
    model: BinaryFSQ, residual: Tensor, pairs: "_Pairs", generator: torch.Generator, kept: Tensor | None
) -> Tensor:
    rows = torch.randint(len(residual), (_ROWS,), generator=generator)
    logits = model.logits(residual[rows])
    soft = torch.sigmoid(logits)
    straight_through = (soft > 0.5).float() + soft - soft.detach()
    rebuild = ((model.rebuild(straight_through) - residual[rows]) / model.scale).square().mean()
    if kept is not None:
        rebuild = rebuild + _KEEP * _moving(logits, kept[rows], model.bits)
    if not pairs.partners:
        return rebuild
    left, right = pairs.draw(_PAIRS)
    known = agreement(model.logits(residual[left]), model.logits(residual[right]))
    left, right = pairs.draw(_ROWS)
    to_come = agreement(logits, model.logits(residual[rows] + residual[right] - residual[left]))
    return rebuild + _APART * (torch.log1p(pairs.partners * known) + torch.log1p(pairs.partners * to_come))


def _moving(logits: Tensor, kept: Tensor, bits: int) -> Tensor:
    """Mean cross-entropy of the bits that rows are to keep; rows that may have any count nothing."""
    wanted = (kept[:, None] >> torch.arange(bits - 1, -1, -1) & 1).float()
    losses = nn.functional.binary_cross_entropy_with_logits(_SHARPNESS * logits, wanted, reduction="none")
    return (losses.mean(1) * (kept >= 0)).mean()


def agreement(left: Tensor, right: Tensor) -> Tensor:
    """Mean probability that all bits of both sides agree, from their logits [pairs, bits].

    By the logits' size within each bit: ones near 0 would seem undecided, and are not.
    """
    size = torch.cat([left, right]).square().mean(0).sqrt().clamp_min(1e-6)
    p, q = torch.sigmoid(_SHARPNESS * left / size), torch.sigmoid(_SHARPNESS * right / size)
    return (p * q + (1 - p) * (1 - q)).prod(1).mean()


class _Pairs:
    """Draws pairs of different rows of the same bucket, each equally likely, without listing them."""

    def __init__(self, buckets: Tensor, generator: torch.Generator) -> None:
        self.generator = generator
        self.order = torch.argsort(buckets, stable=True)
        _, sizes = torch.unique_consecutive(buckets[self.order], return_counts=True)
        starts = torch.cumsum(sizes, 0) - sizes
        self.start, self.size = starts.repeat_interleave(sizes), sizes.repeat_interleave(sizes)
        self.partners = float((self.size - 1).double().mean())  # other rows in a row's bucket
        self.mass = torch.cumsum((self.size - 1).double(), 0)

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """[count] rows twice; there must be a bucket of two."""
        point = torch.rand(count, generator=self.generator, dtype=torch.float64) * self.mass[-1]
        left = torch.searchsorted(self.mass, point, right=True).clamp_max(len(self.order) - 1)
        start, size = self.start[left], self.size[left]
        jump = torch.rand(count, generator=self.generator, dtype=torch.float64) * (size - 1)
        right = start + (left - start + 1 + jump.long().clamp_max(size - 2)) % size
        return self.order[left], self.order[right]
