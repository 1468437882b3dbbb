"""What every kind of codebook can do, and the checks that all kinds share."""

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol, Self

import torch
from torch import Tensor

from models.quantizers.rows import Row

Progress = Callable[[int, int], None]  # called with (steps done, steps in all)
Tick = Callable[[int], None]  # called with the number of steps just done
_ROWS = 1 << 16  # encoded at once
LARGEST = 1e15  # the largest number that a vector may hold: sums of squares then fit in float32


class Codebook(Protocol):
    """A fitted codebook: item vectors to codes and back.

    Weights are float32 numbers held as float64. So rounding is far too small to change a code, and an item's codes do
    not depend on the items that are encoded with it. Neither the order of the items nor the number of cores changes
    what is fitted.
    """

    kind: ClassVar[str]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Codes per level, as asked for; a level may use fewer."""

    @classmethod
    def fit(cls, x: Tensor, *, sizes: Sequence[int], seed: int, progress: Progress | None = None) -> Self:
        """Fit on items. The settings of a kind are further keywords with defaults.

        x       [items, dim] float32, finite, at least one item
        raises  ValueError if x is empty or holds NaN or infinity, or the sizes do not suit the kind
        """

    @classmethod
    def from_rows(cls, rows: Sequence[Row]) -> Self:
        """Read what `to_rows` wrote, rows in any order.

        raises  ValueError if a part or a row of it is missing
        """

    def encode(self, x: Tensor) -> Tensor:
        """Give every item its codes.

        x        [items, dim] float32, finite
        returns  [items, levels] int64, level l in [0, sizes[l])
        raises   ValueError if x holds NaN or infinity, or dim is not the codebook's
        """

    def decode(self, codes: Tensor) -> Tensor:
        """Rebuild vectors: codes [items, levels] to [items, dim] float32.

        raises  ValueError if a code is out of range or the codebook never uses it
        """

    def to_rows(self) -> list[Row]:
        """The whole codebook as rows of gold.codebooks, header first (see `models.quantizers.rows`)."""


def encode_in_chunks(encode: Callable[[Tensor], Tensor], x: Tensor, levels: int) -> Tensor:
    """Encode checked rows x [items, dim] in float64 on the CPU, a chunk at a time: [items, levels] int64."""
    codes = [encode(x[first : first + _ROWS].detach().cpu().double()) for first in range(0, len(x), _ROWS)]
    return torch.cat(codes) if codes else torch.empty(0, levels, dtype=torch.int64)


def check_vectors(x: Tensor, dim: int | None) -> None:
    """Check vectors to encode (dim: the codebook's) or to fit on (dim: None).

    raises  ValueError if x is not [items, dim] or not finite; to fit on, also if it is empty or too small to square
    """
    if x.ndim != 2 or (dim is not None and x.shape[1] != dim):
        raise ValueError(f"x must have shape [items, {dim or 'dim'}], not {list(x.shape)}")
    if dim is None and not x.numel():
        raise ValueError("there is no item to fit a codebook on")
    if bad := sum(int((~are_usable(part)).sum()) for part in torch.split(x, _ROWS)):
        raise ValueError(f"{bad} of {len(x)} vectors hold NaN, infinity or a number above {LARGEST:g}")
    if dim is None and 0 < (largest := max(float(part.abs().max()) for part in torch.split(x, _ROWS))) < 1 / LARGEST:
        raise ValueError(f"the largest number of all vectors is {largest:g}, their squares would be 0: scale them")


def are_usable(x: Tensor) -> Tensor:
    """Whether each row [rows, dim] is finite and its squares fit in float32: bool [rows]."""
    return (x.abs() <= LARGEST).all(1)


def check_codes(codes: Tensor, used_codes: Sequence[int]) -> Tensor:
    """Check codes to decode.

    codes       [items, levels] integers
    used_codes  per level how many codes the codebook uses
    returns     the codes as int64 on the CPU
    raises      ValueError if the shape is another, or a code is out of range
    """
    if codes.ndim != 2 or codes.shape[1] != len(used_codes):
        raise ValueError(f"codes must have shape [items, {len(used_codes)}], not {list(codes.shape)}")
    codes = codes.long().cpu()
    if len(codes) and bool(((codes < 0) | (codes >= torch.tensor(used_codes))).any()):
        raise ValueError(f"a code is outside those that this codebook uses: {list(used_codes)} codes per level")
    return codes


def make_tick(total: int, progress: Progress | None) -> Tick:
    """A function that adds up steps and reports (steps done, total) to `progress`."""
    done = 0

    def tick(steps: int) -> None:
        nonlocal done
        done += steps
        if progress is not None:
            progress(done, total)

    return tick
