"""The items that have a vector, as `quantize` sees them on a day."""

from datetime import date
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jobs.encoders.vectors import dated_vectors
from jobs.lake import Lake, UserError
from models.quantizers.codebook import LARGEST, are_usable

_ROWS = 1 << 16  # items checked at once


class Catalogue(NamedTuple):
    """The items that an encoder has embedded."""

    item_ids: list[str]
    vectors: Tensor  # [items, dim] float32; may be mapped from a file
    embedded_on: NDArray[np.datetime64]  # [items] the day that each vector was made for
    encoder: str  # version


def load_catalogue(lake: Lake, encoder: str, day: date) -> Catalogue:
    """Load the items that were embedded up to a day.

    An item that is embedded later gets its ID on that later day, even if this day runs again.

    raises  UserError if a vector holds NaN, infinity or a number too large to square
    """
    item_ids, vectors, embedded_on = dated_vectors(lake, encoder, day)
    for first in range(0, len(item_ids), _ROWS):
        bad = np.flatnonzero(~are_usable(torch.from_numpy(vectors[first : first + _ROWS])).numpy())
        if len(bad):
            raise UserError(
                f"the vector of item {item_ids[first + bad[0]]} by {encoder} holds NaN, infinity or a number above"
                f" {LARGEST:g}: embed it again (FORCE=1)"
            )
    return Catalogue(item_ids, torch.from_numpy(vectors), embedded_on, encoder)
