"""The last level of Res-KmeansFSQ: finite scalar quantisation of a residual, by a small auto-encoder.

Finite scalar quantisation (arXiv 2309.15505) turns a vector into a few digits that take few values each. By default a
digit takes two values, as in QARM V2 (arXiv 2602.08559), section 3.2. The training is in
`models.quantizers.fsq_training`.
"""

import math
from collections.abc import Sequence
from itertools import accumulate
from operator import mul

import torch
from torch import Tensor, nn

_HIDDEN = 512
_UNREACHABLE = 1e4  # a logit that no item has


class FSQ(nn.Module):
    """Residual to digits and back. It holds weights only, and `state_dict` holds everything.

    values  [digits] how many values each digit takes (the paper's levels), the most significant digit first
    """

    scale: Tensor
    values: Tensor
    thresholds: Tensor  # [digits, largest of values - 1]
    places: Tensor  # [digits] what a digit counts in the code, as 100, 10 and 1 do in a decimal number

    def __init__(self, dim: int, values: Sequence[int], hidden: int = _HIDDEN) -> None:
        super().__init__()
        self.dim, self.digits = dim, len(values)
        self.register_buffer("scale", torch.ones(1))
        self.register_buffer("values", torch.tensor(values))
        self.encoder = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, self.digits))
        self.decoder = nn.Sequential(nn.Linear(self.digits, hidden), nn.ReLU(), nn.Linear(hidden, dim))
        # A digit is the number of thresholds below its logit. They cut the range of the sigmoid into equal parts.
        thresholds = [
            [math.log(k / (size - k)) if k < size else _UNREACHABLE for k in range(1, max(values))] for size in values
        ]
        self.register_buffer("thresholds", torch.tensor(thresholds), persistent=False)
        places = list(accumulate(reversed(values[1:]), mul, initial=1))[::-1]
        self.register_buffer("places", torch.tensor(places), persistent=False)

    def logits(self, residual: Tensor) -> Tensor:
        """[items, dim] to [items, digits]."""
        logits: Tensor = self.encoder(residual / self.scale)
        return logits

    def round_logits(self, logits: Tensor) -> Tensor:
        """Logits [items, digits] to digits [items, digits] int64, each below its number of values."""
        return (logits[:, :, None] > self.thresholds).sum(2)

    def rebuild(self, digits: Tensor) -> Tensor:
        """Digits [items, digits], scaled to 0 ... 1, to [items, dim]."""
        residual: Tensor = self.decoder(2 * digits - 1) * self.scale
        return residual

    def encode(self, residual: Tensor) -> Tensor:
        """[items, dim] to codes [items] int64: the digits read as one number."""
        return self.join_digits(self.round_logits(self.logits(residual)))

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [items] int64 to [items, dim]."""
        return self.rebuild(self.split_digits(codes) / (self.values - 1).to(self.scale.dtype))

    def join_digits(self, digits: Tensor) -> Tensor:
        """Digits [items, digits] int64 to codes [items] int64."""
        return (digits * self.places).sum(1)

    def split_digits(self, codes: Tensor) -> Tensor:
        """Codes [items] int64 to digits [items, digits] int64."""
        return codes[:, None] // self.places % self.values

    def rearrange_digits(self, order: list[int], reverse: list[bool]) -> "FSQ":
        """The same with its digits in another order, some counted backwards.

        order    [digits] new digit n is old digit order[n]
        reverse  [digits] whether new digit n counts backwards
        """
        sign = torch.tensor([-1.0 if backwards else 1.0 for backwards in reverse], dtype=self.scale.dtype)
        state = {name: weight.clone() for name, weight in self.state_dict().items()}
        state["encoder.2.weight"] = state["encoder.2.weight"][order] * sign[:, None]
        state["encoder.2.bias"] = state["encoder.2.bias"][order] * sign
        state["decoder.0.weight"] = state["decoder.0.weight"][:, order] * sign
        other = FSQ(self.dim, self.values[order].tolist(), len(state["encoder.0.weight"])).to(self.scale.dtype)
        other.load_state_dict(state | {"values": self.values[order]})
        return other.requires_grad_(False).eval()
