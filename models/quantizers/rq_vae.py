"""RQ-VAE: item vectors to semantic IDs by an auto-encoder whose latent is encoded by residual codebooks.

Source: TIGER (arXiv 2305.05065), section 3.1. The training is in `models.quantizers.rq_vae_training`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from models.quantizers.codebook import Progress, check_codes, check_vectors, encode_in_chunks, make_tick
from models.quantizers.distinct import find_distinct_rows
from models.quantizers.nearest import assign
from models.quantizers.rows import (
    NO_LEVEL,
    Parts,
    Row,
    add_header,
    centroids_to_rows,
    check_sizes,
    get_centroids,
    get_part,
    read_header,
    read_parts,
    weight_to_rows,
)
from models.quantizers.rq_vae_network import Network
from models.quantizers.rq_vae_training import Plan, train


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
        """Fit on items, see `Codebook.fit`.

        hidden                widths of the encoder's layers; the decoder's are the same in reverse
        latent                width of the latent
        steps                 training steps
        kmeans_iterations     at most, for each level's start
        collaborative         [items, any] float32, finite: vectors of a model of behaviour, which the codes learn too
        collaborative_weight  of LETTER's contrastive loss with them (0.02 in the paper)
        diversity_weight      of LETTER's diversity loss (0.0001 in the paper); 0: without that loss
        raises                ValueError as `Codebook.fit`, and if `collaborative` does not suit x
        source                TIGER (arXiv 2305.05065), section 3.1; LETTER (arXiv 2405.07314), section 3.2
        """
        sizes = check_sizes(sizes)
        check_vectors(x, dim=None)
        points, weights, _ = find_distinct_rows(x)
        network = Network([x.shape[1], *hidden, latent])
        plan = Plan(
            sizes=sizes,
            steps=steps,
            kmeans_iterations=kmeans_iterations,
            seed=seed,
            collaborative_weight=collaborative_weight,
            diversity_weight=diversity_weight,
        )
        point_vectors = None if collaborative is None else _average_by_point(x, collaborative)
        tick = make_tick(steps + len(sizes) * kmeans_iterations, progress)
        centroids = train(network, points, weights, point_vectors, plan, tick)
        return cls(_freeze(network), tuple(level.double() for level in centroids), sizes)

    def encode(self, x: Tensor) -> Tensor:
        check_vectors(x, dim=self.network.dim)
        return encode_in_chunks(self._encode, x, len(self.sizes))

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
        rows = centroids_to_rows(self.centroids)
        for part, weight in self.network.state_dict().items():
            rows += weight_to_rows(NO_LEVEL, part, weight)
        return add_header(self.kind, self.sizes, rows)

    @classmethod
    def from_rows(cls, rows: Sequence[Row]) -> Self:
        _, sizes = read_header(rows)
        parts = read_parts(rows)
        network = Network(_read_widths(parts)).double()
        weights = network.state_dict()
        network.load_state_dict({part: get_part(parts, NO_LEVEL, part).reshape(w.shape) for part, w in weights.items()})
        return cls(_freeze(network), get_centroids(parts, len(sizes)), sizes)


def _read_widths(parts: Parts) -> list[int]:
    """The widths of the network whose weights are in the parts."""
    layers = sorted(int(part.split(".")[1]) for _, part in parts if part.startswith("encoder.") and "weight" in part)
    first = get_part(parts, NO_LEVEL, "encoder.0.weight")
    return [first.shape[1], *(len(parts[NO_LEVEL, f"encoder.{layer}.weight"]) for layer in layers)]


def _freeze(network: Network) -> Network:
    return network.double().requires_grad_(False).eval()


def _average_by_point(x: Tensor, collaborative: Tensor) -> Tensor:
    """The mean collaborative vector of the items of each distinct row of x.

    returns  [points, any] float32, in the order of `find_distinct_rows`
    """
    check_vectors(collaborative, dim=None)
    if len(collaborative) != len(x):
        raise ValueError(f"there are {len(collaborative)} collaborative vectors for {len(x)} items")
    # Distinct pairs are summed in a fixed order, whatever the order of x.
    both, counts, _ = find_distinct_rows(torch.cat([x, collaborative], dim=1))
    points, _, owner = find_distinct_rows(both[:, : x.shape[1]])
    weights = torch.zeros(len(points), dtype=torch.float64).index_add_(0, owner, counts.double())
    sums = torch.zeros(len(points), collaborative.shape[1], dtype=torch.float64)
    sums.index_add_(0, owner, both[:, x.shape[1] :].double() * counts[:, None])
    return (sums / weights[:, None]).float()
