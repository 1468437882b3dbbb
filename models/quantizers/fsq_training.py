"""Training the last level of Res-KmeansFSQ.

The papers do not say how the projection is trained. Here: an auto-encoder with a straight-through estimator, and two
separation terms, each log(1 + the expected number of other items with an item's ID). The first is told which items the
levels before left together. The second is told of items to come: it moves an item by the difference of two others that
share a bucket, of several such the smallest, for near items are what collides, and keeps the two places apart, wherever
the item lies. The logarithm leaves room for rebuilding where buckets hold more items than there are codes. What each is
worth: bench/README.md, quantize.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from models.quantizers.fsq import FSQ

_ROWS, _PAIRS = 512, 512  # per step
_RATE = 3e-3
_GO_ON = 0.3  # of the rate, for a refit
_KEEP = 6.0  # weight of keeping the digits of items that are still in their bucket, for a refit
_SHARPNESS = 2.0
_DECAY = 0.1
_NEAR = 4  # differences to choose the smallest of
_CHUNK = 1 << 14  # rows read at once
_APART = 3.0  # weight of each separation term against the rebuild error


def fit_fsq(
    residual: Tensor,
    buckets: Tensor,
    *,
    values: Sequence[int],
    steps: int,
    seed: int,
    tick: Callable[[int], None],
    start: FSQ | None = None,
    kept: Tensor | None = None,
) -> FSQ:
    """Train on the residuals of distinct items.

    residual  [items, dim] float32, may lie in a file
    buckets   [items] int64; rows with the same number share all codes of the levels before
    tick      called with 1 after every step
    values    per digit
    start     go on from this one, of the same values, in smaller steps
    kept      [items] int64 the code that a row is to keep, if it can; -1: any
    """
    generator = torch.Generator().manual_seed(seed)
    model = FSQ(residual.shape[1], values)
    _initialise(model, residual, generator)
    if start is not None:
        model.load_state_dict(start.state_dict())
    rate, decay = (_RATE, _DECAY) if start is None else (_RATE * _GO_ON, 0.0)  # a refit is to stay where it is
    pairs = _Pairs(buckets, generator)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay)
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


def _initialise(model: FSQ, residual: Tensor, generator: torch.Generator) -> None:
    squares = sum(float(part.double().square().sum()) for part in torch.split(residual, _CHUNK))
    root_mean_square = (squares / residual.numel()) ** 0.5
    if root_mean_square > 0:
        model.scale.fill_(root_mean_square)
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(weight)
        else:
            nn.init.xavier_uniform_(weight, generator=generator)


def _loss(model: FSQ, residual: Tensor, pairs: "_Pairs", generator: torch.Generator, kept: Tensor | None) -> Tensor:
    rows = torch.randint(len(residual), (_ROWS,), generator=generator)
    logits = model.logits(residual[rows])
    soft = torch.sigmoid(logits)
    straight_through = model.digits_of(logits) / (model.values - 1) + soft - soft.detach()
    rebuild = ((model.rebuild(straight_through) - residual[rows]) / model.scale).square().mean()
    if kept is not None:
        rebuild = rebuild + _KEEP * _moving(model, logits, kept[rows])
    if not pairs.partners:
        return rebuild
    left, right = pairs.draw(_PAIRS)
    known = _agreement(model, model.logits(residual[left]), model.logits(residual[right]))
    left, right = pairs.draw(_NEAR * _ROWS)
    apart = (residual[right] - residual[left]).view(_NEAR, _ROWS, -1)
    apart = apart[apart.square().sum(2).argmin(0), torch.arange(_ROWS)]
    to_come = _agreement(model, logits, model.logits(residual[rows] + apart))
    return rebuild + _APART * (torch.log1p(pairs.partners * known) + torch.log1p(pairs.partners * to_come))


def _moving(model: FSQ, logits: Tensor, kept: Tensor) -> Tensor:
    """Mean cross-entropy of the thresholds that rows are to keep to; rows that may have any code count nothing."""
    above = _SHARPNESS * (logits[:, :, None] - model.thresholds)
    wanted = model.parted(kept)[:, :, None] > torch.arange(above.shape[2])
    losses = nn.functional.binary_cross_entropy_with_logits(above, wanted.float(), reduction="none")
    return (losses.sum(2).mean(1) * (kept >= 0)).mean()


def _agreement(model: FSQ, left: Tensor, right: Tensor) -> Tensor:
    """Mean probability that all digits of both sides agree, from their logits [pairs, digits].

    By the logits' size within each digit: ones near 0 would seem undecided, and are not.
    """
    size = torch.cat([left, right]).square().mean(0).sqrt().clamp_min(1e-6)
    return (_chances(model, left, size) * _chances(model, right, size)).sum(2).prod(1).mean()


def _chances(model: FSQ, logits: Tensor, size: Tensor) -> Tensor:
    """Probability of each value of each digit: [pairs, digits, most values]."""
    sharpness = _SHARPNESS * (model.values - 1)  # as thresholds lie close where there are many
    above = torch.sigmoid((sharpness / size)[:, None] * (logits[:, :, None] - model.thresholds))
    return nn.functional.pad(above, (1, 0), value=1.0) - nn.functional.pad(above, (0, 1))


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
