"""Train the last level of Res-KmeansFSQ.

The papers do not say how the projection is trained. Ours is an auto-encoder with a straight-through estimator and two
separation terms. Each term is log(1 + the expected number of other items that share an item's ID).

- The first term compares known items that share all codes of the levels before.
- The second term prepares for items to come. It moves an item by the difference of two other items that share a bucket,
  and keeps the moved and the original place apart. Of several such differences it takes the smallest, because items
  that are near each other are the ones that collide.

Because of the logarithm the terms do not crowd out the rebuild error where a bucket holds more items than there are
codes. docs/results/quantize.md shows what each term is worth.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from models.quantizers.fsq import FSQ

_ROWS, _PAIRS = 512, 512  # per step
_RATE = 3e-3
_REFIT_RATE = 0.3  # of the rate
_KEEP = 6.0  # weight of keeping the digits of items that stay in their bucket, in a refit
_SHARPNESS = 2.0
_DECAY = 0.1
_NEAR = 4  # differences of which the smallest is taken
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
    old_codes: Tensor | None = None,
) -> FSQ:
    """Train on the residuals of distinct items.

    residual   [items, dim] float32, may be mapped from a file
    buckets    [items] int64; rows with the same number share all codes of the levels before
    values     how many values each digit takes
    tick       called with 1 after every step
    start      a refit: the FSQ to start from, with the same values; steps are then smaller
    old_codes  [items] int64 the code that a row keeps if possible; -1: any
    source     the quantisation: arXiv 2309.15505; the separation terms are ours
    """
    generator = torch.Generator().manual_seed(seed)
    model = FSQ(residual.shape[1], values)
    _initialise(model, residual, generator)
    if start is not None:
        model.load_state_dict(start.state_dict())
    rate, decay = (_RATE, _DECAY) if start is None else (_RATE * _REFIT_RATE, 0.0)  # a refit changes little
    pairs = _Pairs(buckets, generator)
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=rate, total_steps=max(steps, 1))
    with one_thread():
        for _ in range(steps):
            loss = _loss(model, residual, pairs, generator, old_codes)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
            tick(1)
    return model


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one thread. Small steps gain nothing from more, and the weights then do not depend on the number of cores."""
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


def _loss(
    model: FSQ, residual: Tensor, pairs: "_Pairs", generator: torch.Generator, old_codes: Tensor | None
) -> Tensor:
    rows = torch.randint(len(residual), (_ROWS,), generator=generator)
    logits = model.logits(residual[rows])
    soft = torch.sigmoid(logits)
    straight_through = model.round_logits(logits) / (model.values - 1) + soft - soft.detach()
    loss = ((model.rebuild(straight_through) - residual[rows]) / model.scale).square().mean()
    if old_codes is not None:
        loss = loss + _KEEP * _keep_loss(model, logits, old_codes[rows])
    if not pairs.partners:
        return loss
    left, right = pairs.draw(_PAIRS)
    known = _agreement(model, model.logits(residual[left]), model.logits(residual[right]))
    left, right = pairs.draw(_NEAR * _ROWS)
    shift = (residual[right] - residual[left]).view(_NEAR, _ROWS, -1)
    shift = shift[shift.square().sum(2).argmin(0), torch.arange(_ROWS)]
    to_come = _agreement(model, logits, model.logits(residual[rows] + shift))
    return loss + _APART * (torch.log1p(pairs.partners * known) + torch.log1p(pairs.partners * to_come))


def _keep_loss(model: FSQ, logits: Tensor, old_codes: Tensor) -> Tensor:
    """Mean cross-entropy of the thresholds against those of the old codes; rows that may have any code count 0."""
    above = _SHARPNESS * (logits[:, :, None] - model.thresholds)
    target = model.split_digits(old_codes)[:, :, None] > torch.arange(above.shape[2])
    losses = nn.functional.binary_cross_entropy_with_logits(above, target.float(), reduction="none")
    return (losses.sum(2).mean(1) * (old_codes >= 0)).mean()


def _agreement(model: FSQ, left: Tensor, right: Tensor) -> Tensor:
    """Mean probability that all digits of both sides agree, from their logits [pairs, digits].

    Logits are divided by their usual size within the digit. Otherwise a digit whose logits are all small would seem
    undecided, though it is not.
    """
    size = torch.cat([left, right]).square().mean(0).sqrt().clamp_min(1e-6)
    return (_probabilities(model, left, size) * _probabilities(model, right, size)).sum(2).prod(1).mean()


def _probabilities(model: FSQ, logits: Tensor, size: Tensor) -> Tensor:
    """Probability of each value of each digit: [pairs, digits, largest of values]."""
    sharpness = _SHARPNESS * (model.values - 1)  # thresholds are close together where there are many values
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
        self.partners = float((self.size - 1).double().mean())  # mean number of other rows in a row's bucket
        self.mass = torch.cumsum((self.size - 1).double(), 0)

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """The two sides of the pairs, [count] rows each; there must be a bucket of two."""
        point = torch.rand(count, generator=self.generator, dtype=torch.float64) * self.mass[-1]
        left = torch.searchsorted(self.mass, point, right=True).clamp_max(len(self.order) - 1)
        start, size = self.start[left], self.size[left]
        jump = torch.rand(count, generator=self.generator, dtype=torch.float64) * (size - 1)
        right = start + (left - start + 1 + jump.long().clamp_max(size - 2)) % size
        return self.order[left], self.order[right]
