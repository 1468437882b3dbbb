"""RQ-VAE: item vectors to semantic IDs by an auto-encoder whose latent is cut by residual codebooks.

Source: TIGER (arXiv 2305.05065), section 3.1. How it is trained: `models.quantizers.rq_vae_training`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from models.quantizers.codebook import (
    WHOLE,
    Parts,
    Progress,
    Row,
    centroid_rows,
    centroids_of,
    check_codes,
    check_sizes,
    check_vectors,
    distinct,
    headed,
    in_chunks,
    part_of,
    read_heading,
    read_parts,
    ticker,
    weight_rows,
)
from models.quantizers.kmeans import assign
from models.quantizers.rq_vae_training import Plan, train


class Network(nn.Module):
    """Encoder and decoder, and what vectors are divided by before and multiplied with after."""

    scale: Tensor

    def __init__(self, widths: Sequence[int]) -> None:
        """widths: of the vector, of the hidden layers, of the latent"""
        super().__init__()
        self.dim = widths[0]
        self.register_buffer("scale", torch.ones(1))
        self.encoder, self.decoder = _mlp(widths), _mlp(widths[::-1])

    def latent(self, x: Tensor) -> Tensor:
        latent: Tensor = self.encoder(x / self.scale)
        return latent

    def rebuild(self, latent: Tensor) -> Tensor:
        x: Tensor = self.decoder(latent) * self.scale
        return x


@dataclass(frozen=True)
class RQVAE:
    """TIGER's quantizer; with `collaborative` or `diversity_weight` it is LETTER's (arXiv 2405.07314)."""

    kind: ClassVar[str] = "rq_vae"

    network: Network
    centroids: tuple[Tensor, ...]  # per level [used, latent width]
    sizes: tuple[int, ...]

    @classmethod
    def fit(
        cls,
        x: Tensor,
        *,
        sizes: Sequence[int],
        seed: int,
        hidden: Sequence[int] = (256, 128),
        latent: int = 32,
        steps: int = 3000,
        kmeans_iterations: int = 20,
        collaborative: Tensor | None = None,
        collaborative_weight: float = 0.02,
        diversity_weight: float = 0.0,
        progress: Progress | None = None,
    ) -> Self:
        """Fit on items; see `Codebook.fit`.

        hidden                widths of the encoder's layers; the decoder's are the same in reverse
        collaborative         [items, any] float32: vectors of a model of behaviour, which codes shall tell as well
        collaborative_weight  of LETTER's contrastive loss to them (0.02 there)
        diversity_weight      of LETTER's diversity loss (0.0001 there); 0: without
        raises                ValueError also if `collaborative` has other rows than x, or is not finite
        """
        sizes = check_sizes(sizes)
        check_vectors(x, dim=None)
        points, weights, _ = distinct(x)
        network = Network([x.shape[1], *hidden, latent])
        plan = Plan(
            sizes=sizes,
            steps=steps,
            kmeans_iterations=kmeans_iterations,
            seed=seed,
            collaborative_weight=collaborative_weight,
            diversity_weight=diversity_weight,
        )
        told = None if collaborative is None else _of_points(x, collaborative)
        tick = ticker(steps + len(sizes) * kmeans_iterations, progress)
        centroids = train(network, points, weights, told, plan, tick)
        return cls(_frozen(network), tuple(level.double() for level in centroids), sizes)

    def encode(self, x: Tensor) -> Tensor:
        check_vectors(x, dim=self.network.dim)
        return in_chunks(self._encode, x, len(self.sizes))

    def _encode(self, x: Tensor) -> Tensor:
        residual, codes = self.network.latent(x), []
        for centroids in self.centroids:
            labels = assign(residual, centroids)
            residual = residual - centroids[labels]
            codes.append(labels)
        return torch.stack(codes, dim=1)

    def decode(self, codes: Tensor) -> Tensor:
        codes = check_codes(codes, list(map(len, self.centroids)))
        levels = zip(self.centroids, codes.T, strict=True)
        return self.network.rebuild(torch.stack([level[labels] for level, labels in levels]).sum(0)).float()

    def to_rows(self) -> list[Row]:
        rows = centroid_rows(self.centroids)
        for part, weight in self.network.state_dict().items():
            rows += weight_rows(WHOLE, part, weight)
        return headed(self.kind, self.sizes, rows)

    @classmethod
    def from_rows(cls, rows: Sequence[Row]) -> Self:
        _, sizes = read_heading(rows)
        parts = read_parts(rows)
        network = Network(_widths(parts)).double()
        shapes = network.state_dict()
        network.load_state_dict({part: part_of(parts, WHOLE, part).reshape(old.shape) for part, old in shapes.items()})
        return cls(_frozen(network), centroids_of(parts, len(sizes)), sizes)


def _mlp(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inner, outer in pairwise(widths):
        layers += [nn.Linear(inner, outer), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _widths(parts: Parts) -> list[int]:
    """Of a network whose weights are in the parts."""
    layers = sorted(int(part.split(".")[1]) for _, part in parts if part.startswith("encoder.") and "weight" in part)
    first = part_of(parts, WHOLE, "encoder.0.weight")
    return [first.shape[1], *(len(parts[WHOLE, f"encoder.{layer}.weight"]) for layer in layers)]


def _frozen(network: Network) -> Network:
    return network.double().requires_grad_(False).eval()


def _of_points(x: Tensor, collaborative: Tensor) -> Tensor:
    """Mean collaborative vectors of the items of the same vector, in the order of `distinct`: [points, any] float32."""
    check_vectors(collaborative, dim=None)
    if len(collaborative) != len(x):
        raise ValueError(f"there are {len(collaborative)} collaborative vectors for {len(x)} items")
    both, counts, _ = distinct(torch.cat([x, collaborative], dim=1))  # summed in this order, whatever that of x
    points, _, owner = distinct(both[:, : x.shape[1]])
    weights = torch.zeros(len(points), dtype=torch.float64).index_add_(0, owner, counts.double())
    sums = torch.zeros(len(points), collaborative.shape[1], dtype=torch.float64)
    sums.index_add_(0, owner, both[:, x.shape[1] :].double() * counts[:, None])
    return (sums / weights[:, None]).float()
