"""The last level: finite scalar quantisation of a residual, by a small auto-encoder.

Finite scalar quantisation (arXiv 2309.15505), by default with two values per digit, as in QARM V2 (arXiv 2602.08559),
section 3.2. How it is trained: `models.quantizers.fsq_training`.
"""

import math
from collections.abc import Sequence
from itertools import accumulate
from operator import mul

import torch
from torch import Tensor, nn

_HIDDEN = 512
_NEVER = 1e4  # a logit that none reaches


class FSQ(nn.Module):
    """Residual to digits and back. Weights only; all that it is lies in `state_dict`.

    values  [digits] how many values each digit takes, the most significant first (the paper's levels)
    """

    scale: Tensor
    values: Tensor

    def __init__(self, dim: int, values: Sequence[int], hidden: int = _HIDDEN) -> None:
        super().__init__()
        self.dim, self.digits = dim, len(values)
        self.register_buffer("scale", torch.ones(1))
        self.register_buffer("values", torch.tensor(values))
        self.encoder = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, self.digits))
        self.decoder = nn.Sequential(nn.Linear(self.digits, hidden), nn.ReLU(), nn.Linear(hidden, dim))
        # A digit counts the thresholds below its logit: the sigmoid's range in equal parts.
        most = max(values)
        parts = [[math.log(k / (size - k)) if k < size else _NEVER for k in range(1, most)] for size in values]
        self.register_buffer("thresholds", torch.tensor(parts), persistent=False)
        places = list(accumulate(reversed(values[1:]), mul, initial=1))[::-1]
        self.register_buffer("places", torch.tensor(places), persistent=False)

    thresholds: Tensor  # [digits, most values - 1]
    places: Tensor  # [digits]

    def logits(self, residual: Tensor) -> Tensor:
        """[items, dim] to [items, digits]."""
        logits: Tensor = self.encoder(residual / self.scale)
        return logits

    def digits_of(self, logits: Tensor) -> Tensor:
        """[items, digits] to [items, digits] int64, each below its number of values."""
        return (logits[:, :, None] > self.thresholds).sum(2)

    def rebuild(self, digits: Tensor) -> Tensor:
        """Digits [items, digits], scaled to 0 ... 1, to [items, dim]."""
        residual: Tensor = self.decoder(2 * digits - 1) * self.scale
        return residual

    def encode(self, residual: Tensor) -> Tensor:
        """[items, dim] to the digits read as one integer: [items] int64."""
        return self.joined(self.digits_of(self.logits(residual)))

    def decode(self, codes: Tensor) -> Tensor:
        """[items] int64 to [items, dim]."""
        return self.rebuild(self.parted(codes) / (self.values - 1).to(self.scale.dtype))

    def joined(self, digits: Tensor) -> Tensor:
        """[items, digits] int64 to [items] int64."""
        return (digits * self.places).sum(1)

    def parted(self, codes: Tensor) -> Tensor:
        """[items] int64 to [items, digits] int64."""
        return codes[:, None] // self.places % self.values

    def with_digits(self, order: list[int], turned: list[bool]) -> "FSQ":
        """The same with its digits in another order, some counted backwards: digit n was digit order[n]."""
        sign = torch.tensor([-1.0 if back else 1.0 for back in turned], dtype=self.scale.dtype)
        state = {name: weight.clone() for name, weight in self.state_dict().items()}
        state["encoder.2.weight"] = state["encoder.2.weight"][order] * sign[:, None]
        state["encoder.2.bias"] = state["encoder.2.bias"][order] * sign
        state["decoder.0.weight"] = state["decoder.0.weight"][:, order] * sign
        other = FSQ(self.dim, self.values[order].tolist(), len(state["encoder.0.weight"])).to(self.scale.dtype)
        other.load_state_dict(state | {"values": self.values[order]})
        return other.requires_grad_(False).eval()
