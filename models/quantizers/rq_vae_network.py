"""The network of an RQ-VAE: the encoder turns an item vector into a latent, the decoder turns it back."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class Network(nn.Module):
    """Encoder and decoder. Vectors are divided by `scale` before the encoder and multiplied by it after the decoder."""

    scale: Tensor

    def __init__(self, widths: Sequence[int]) -> None:
        """widths: of the vector, of the hidden layers, of the latent"""
        super().__init__()
        self.dim = widths[0]
        self.register_buffer("scale", torch.ones(1))
        self.encoder, self.decoder = _make_layers(widths), _make_layers(widths[::-1])

    def latent(self, x: Tensor) -> Tensor:
        """[items, dim] to [items, latent width]."""
        latent: Tensor = self.encoder(x / self.scale)
        return latent

    def rebuild(self, latent: Tensor) -> Tensor:
        """[items, latent width] to [items, dim]."""
        x: Tensor = self.decoder(latent) * self.scale
        return x


def _make_layers(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inner, outer in pairwise(widths):
        layers += [nn.Linear(inner, outer), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
