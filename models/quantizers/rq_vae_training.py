"""Train an RQ-VAE: as an auto-encoder first, then with codebooks that start as k-means of its latents.

Rebuild and commitment losses with a straight-through estimator: TIGER (arXiv 2305.05065), section 3.1. Without the
first part, the codebooks would start on latents of an untrained encoder, and most codes would die. A code that no item
of the last steps took moves to where an item is (as in Jukebox, arXiv 2005.00341), until the last quarter of the steps.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from models.quantizers.codebook import Tick
from models.quantizers.fsq_training import one_thread
from models.quantizers.kmeans import kmeans
from models.quantizers.letter import Collaborative, Diversity
from models.quantizers.nearest import assign
from models.quantizers.rq_vae_network import Network

_ROWS = 512  # per step
_RATE = 3e-3
_COMMITMENT = 0.25
_WITHOUT_CODES = 0.25  # of the steps
_REVIVE_EVERY = 50  # steps
_REVIVE_UNTIL = 0.75  # of the steps with codes


@dataclass(frozen=True)
class Plan:
    """The settings of a training, see `RQVAE.fit`."""

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
        self.uses = [torch.zeros(len(level)) for level in levels]

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes [rows, levels], the latent rebuilt (gradients pass straight through it), and the loss of both."""
        residual, loss, codes = latent, latent.new_zeros(()), []
        for level, uses in zip(self.levels, self.uses, strict=True):
            labels = assign(residual.detach(), level.detach())
            nearest = level[labels]
            loss = loss + mse_loss(nearest, residual.detach()) + _COMMITMENT * mse_loss(residual, nearest.detach())
            residual = residual - nearest.detach()
            uses += torch.bincount(labels, minlength=len(level))
            codes.append(labels)
        rebuilt = (latent - residual).detach()
        return torch.stack(codes, dim=1), latent + (rebuilt - latent).detach(), loss

    @torch.no_grad()
    def revive(self, latent: Tensor) -> None:
        """Move the codes that no row took since the last call to rows of this batch; count again from 0."""
        residual = latent
        for level, uses in zip(self.levels, self.uses, strict=True):
            dead = torch.nonzero(uses == 0).squeeze(1)[: len(residual)]
            level[dead] = residual[: len(dead)]
            uses.zero_()
            residual = residual - level[assign(residual, level)]


def train(
    network: Network, points: Tensor, weights: Tensor, collaborative: Tensor | None, plan: Plan, tick: Tick
) -> list[Tensor]:
    """Train a network in place, and its codebooks.

    points         [items, dim] float32, distinct, in an order that does not depend on the order of the items
    weights        [items] how often each item counts for k-means
    collaborative  [items, any] float32, for LETTER's loss; None: without it
    tick           called with 1 after every step, and as `kmeans` calls it
    returns        per level [used, latent width]
    """
    generator = torch.Generator().manual_seed(plan.seed)
    _initialise(network, points, generator)
    x = points / network.scale
    steps_without_codes = round(_WITHOUT_CODES * plan.steps)
    steps_with_codes = plan.steps - steps_without_codes

    def draw_rows() -> Tensor:
        return torch.randint(len(x), (_ROWS,), generator=generator)

    def loss_without_codes(_: int) -> Tensor:
        rows = x[draw_rows()]
        loss: Tensor = mse_loss(network.decoder(network.encoder(rows)), rows)
        return loss

    with one_thread():
        _minimise(loss_without_codes, [network], steps_without_codes, tick)
        books = Books(_fit_start(network.encoder(x).detach(), weights, plan, tick))
        letter_terms = _make_letter_terms(books, collaborative, plan, generator)
        last_revival = _REVIVE_UNTIL * steps_with_codes

        def loss_with_codes(step: int) -> Tensor:
            rows = draw_rows()
            latent = network.encoder(x[rows])
            if step and step % _REVIVE_EVERY == 0 and step < last_revival:
                books.revive(latent.detach())
            loss: Tensor
            codes, rebuilt, loss = books(latent)
            loss = loss + mse_loss(network.decoder(rebuilt), x[rows])
            for term, weight in letter_terms:
                loss = loss + weight * term(rows, codes, rebuilt, step)
            return loss

        parts = [network, books, *(term for term, _ in letter_terms)]
        _minimise(loss_with_codes, parts, steps_with_codes, tick)
    return [level.detach() for level in books.levels]


def _make_letter_terms(
    books: Books, collaborative: Tensor | None, plan: Plan, generator: torch.Generator
) -> list[tuple[nn.Module, float]]:
    """LETTER's losses and their weights, as far as the plan wants them."""
    terms: list[tuple[nn.Module, float]] = []
    if collaborative is not None:
        term = Collaborative(collaborative, books.levels[0].shape[1], generator)
        terms.append((term, plan.collaborative_weight))
    if plan.diversity_weight:
        terms.append((Diversity(books.levels, generator), plan.diversity_weight))
    return terms


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


def _fit_start(latent: Tensor, weights: Tensor, plan: Plan, tick: Tick) -> list[Tensor]:
    """Residual k-means of the latents: per level [used, latent width]."""
    levels = []
    for level, size in enumerate(plan.sizes):
        centroids = kmeans(
            latent, weights, codes=size, iterations=plan.kmeans_iterations, seed=plan.seed + level, tick=tick
        )
        latent = latent - centroids[assign(latent, centroids)]
        levels.append(centroids)
    return levels


def _initialise(network: Network, points: Tensor, generator: torch.Generator) -> None:
    root_mean_square = points.double().square().mean().sqrt().float()
    if root_mean_square > 0:
        network.scale.fill_(root_mean_square)
    for weight in network.parameters():
        if weight.ndim == 1:
            nn.init.zeros_(weight)
        else:
            nn.init.kaiming_uniform_(weight, nonlinearity="relu", generator=generator)
