"""How an RQ-VAE is trained: as an auto-encoder first, then with codebooks that start as k-means of its latents.

Rebuild and commitment losses, straight-through: TIGER (arXiv 2305.05065), section 3.1. Without the first part the
codebooks would start on latents of an untrained encoder, and most codes would die. A code that no item of the last
steps took moves to where an item is (as in Jukebox, arXiv 2005.00341), until the last quarter of the steps.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from models.quantizers.codebook import Tick
from models.quantizers.fsq_training import one_thread
from models.quantizers.kmeans import assign, kmeans
from models.quantizers.letter import Collaborative, Diversity

if TYPE_CHECKING:
    from models.quantizers.rq_vae import Network

_ROWS = 512  # per step
_RATE = 3e-3
_COMMITMENT = 0.25
_WITHOUT_CODES = 0.25  # of the steps
_LOOK = 50  # steps between two looks at which codes are dead
_SETTLED = 0.75  # of the steps with codes, after which none moves so


@dataclass(frozen=True)
class Plan:
    sizes: tuple[int, ...]
    steps: int
    kmeans_iterations: int
    seed: int
    collaborative_weight: float
    diversity_weight: float


class Books(nn.Module):
    """The codebooks while they learn."""

    def __init__(self, levels: Sequence[Tensor]) -> None:
        super().__init__()
        self.levels = nn.ParameterList(nn.Parameter(level) for level in levels)
        self.taken = [torch.zeros(len(level)) for level in levels]

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes [rows, levels], the latent rebuilt (gradients pass straight through it), and the loss of both."""
        residual, loss, codes = latent, latent.new_zeros(()), []
        for level, taken in zip(self.levels, self.taken, strict=True):
            labels = assign(residual.detach(), level.detach())
            near = level[labels]
            loss = loss + mse_loss(near, residual.detach()) + _COMMITMENT * mse_loss(residual, near.detach())
            residual = residual - near.detach()
            taken += torch.bincount(labels, minlength=len(level))
            codes.append(labels)
        rebuilt = (latent - residual).detach()
        return torch.stack(codes, dim=1), latent + (rebuilt - latent).detach(), loss

    @torch.no_grad()
    def revive(self, latent: Tensor) -> None:
        """Move codes that were not taken since the last look to rows that are drawn already, and count anew."""
        residual = latent
        for level, taken in zip(self.levels, self.taken, strict=True):
            dead = torch.nonzero(taken == 0).squeeze(1)[: len(residual)]
            level[dead] = residual[: len(dead)]
            taken.zero_()
            residual = residual - level[assign(residual, level)]


def train(
    network: "Network", points: Tensor, weights: Tensor, collaborative: Tensor | None, plan: Plan, tick: Tick
) -> list[Tensor]:
    """Train a network in place, and its codebooks.

    points         [items, dim] float32, distinct, in an order that does not depend on how they came
    weights        [items] how often each item counts for k-means
    collaborative  [items, any] float32
    tick           called with 1 after every step, and as `kmeans` calls it
    returns        per level [used, latent width]
    """
    generator = torch.Generator().manual_seed(plan.seed)
    _initialise(network, points, generator)
    x = points / network.scale
    alone = round(_WITHOUT_CODES * plan.steps)

    def drawn() -> Tensor:
        return torch.randint(len(x), (_ROWS,), generator=generator)

    def without_codes(_: int) -> Tensor:
        rows = x[drawn()]
        loss: Tensor = mse_loss(network.decoder(network.encoder(rows)), rows)
        return loss

    with one_thread():
        _minimise(without_codes, [network], alone, tick)
        books = Books(_start(network.encoder(x).detach(), weights, plan, tick))
        extra = _letter(books, collaborative, plan, generator)
        settled = _SETTLED * (plan.steps - alone)

        def with_codes(step: int) -> Tensor:
            rows = drawn()
            latent = network.encoder(x[rows])
            if step and step % _LOOK == 0 and step < settled:
                books.revive(latent.detach())
            loss: Tensor
            codes, rebuilt, loss = books(latent)
            loss = loss + mse_loss(network.decoder(rebuilt), x[rows])
            for term, weight in extra:
                loss = loss + weight * term(rows, codes, rebuilt, step)
            return loss

        _minimise(with_codes, [network, books, *(term for term, _ in extra)], plan.steps - alone, tick)
    return [level.detach() for level in books.levels]


def _letter(
    books: Books, collaborative: Tensor | None, plan: Plan, generator: torch.Generator
) -> list[tuple[nn.Module, float]]:
    extra: list[tuple[nn.Module, float]] = []
    if collaborative is not None:
        term = Collaborative(collaborative, books.levels[0].shape[1], generator)
        extra.append((term, plan.collaborative_weight))
    if plan.diversity_weight:
        extra.append((Diversity(books.levels, generator), plan.diversity_weight))
    return extra


def _minimise(loss: Callable[[int], Tensor], parts: Sequence[nn.Module], steps: int, tick: Tick) -> None:
    weights = list(nn.ModuleList(parts).parameters())
    optimiser = torch.optim.AdamW(weights, lr=_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=_RATE, total_steps=max(steps, 1))
    for step in range(steps):
        optimiser.zero_grad()
        torch.autograd.backward(loss(step))
        optimiser.step()
        schedule.step()
        tick(1)


def _start(latent: Tensor, weights: Tensor, plan: Plan, tick: Tick) -> list[Tensor]:
    """Residual k-means of the latents."""
    levels = []
    for level, size in enumerate(plan.sizes):
        book = kmeans(latent, weights, codes=size, iterations=plan.kmeans_iterations, seed=plan.seed + level, tick=tick)
        latent = latent - book[assign(latent, book)]
        levels.append(book)
    return levels


def _initialise(network: "Network", points: Tensor, generator: torch.Generator) -> None:
    root_mean_square = points.double().square().mean().sqrt().float()
    if root_mean_square > 0:
        network.scale.fill_(root_mean_square)
    for weight in network.parameters():
        if weight.ndim == 1:
            nn.init.zeros_(weight)
        else:
            nn.init.kaiming_uniform_(weight, nonlinearity="relu", generator=generator)
