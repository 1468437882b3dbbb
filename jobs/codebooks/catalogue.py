"""The items that have a vector, as `quantize` sees them on a day: the vector is of text, of behaviour, or of both."""

from datetime import date
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from jobs.codebooks.behaviour import load_behaviour
from jobs.codebooks.settings import VectorKind
from jobs.encoders.vectors import dated_vectors
from jobs.lake import Lake, UserError
from models.arrays_in_files import file_backed_zeros
from models.collaborative import Combination
from models.quantizers.codebook import LARGEST, are_usable

_ROWS = 1 << 16  # items that are checked or combined at once, and at most seen by the fit of a combination


class Catalogue(NamedTuple):
    """The items that an encoder has embedded."""

    item_ids: list[str]
    vectors: Tensor  # [items, dim] float32; may be mapped from a file
    embedded_on: NDArray[np.datetime64]  # [items] the day that each vector was made for
    encoder: str  # version
    has_behaviour: NDArray[np.bool_] | None = None  # [items]; None: only text counts


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


def choose_vectors(lake: Lake, texts: Catalogue, kind: VectorKind, day: date) -> Catalogue:
    """The same items with vectors of this kind; those of behaviour are the day's vectors in gold.item_behaviour.

    Text predicts the behaviour of an item on which nobody acted (`models.collaborative.combination`). As `embedded_on`,
    an item has the day since when it has had its text and its behaviour.

    texts   as of `load_catalogue`
    raises  UserError if too few items have both text and behaviour
    """
    if kind == "text":
        return texts
    behaviour, ids = load_behaviour(lake, day), pa.array(texts.item_ids)
    row, vectors = behaviour.find_rows(ids), behaviour.place(ids)
    has_behaviour = row >= 0
    step = -(-int(has_behaviour.sum()) // _ROWS) or 1
    sample = torch.from_numpy(np.flatnonzero(has_behaviour)[::step])
    try:
        combination = Combination.fit(texts.vectors[sample], vectors[sample], torch.ones(len(sample), dtype=torch.bool))
    except ValueError as error:
        raise UserError(
            f"no item has a vector of kind {kind} on {day}: {error}; land more events of items in silver.items, or set"
            " [quantizer] vectors to text"
        ) from None
    first = texts.vectors.shape[1] if kind == "behaviour" else 0  # of the numbers that count
    dim = texts.vectors.shape[1] + vectors.shape[1] - first
    combined = torch.from_numpy(file_backed_zeros((len(ids), dim), np.dtype(np.float32)))
    for start in range(0, len(ids), _ROWS):
        part = slice(start, start + _ROWS)
        both = combination.apply(texts.vectors[part], vectors[part], torch.from_numpy(has_behaviour[part]))
        combined[part] = both[:, first:]
    since = np.where(has_behaviour, behaviour.since[row], texts.embedded_on)
    return Catalogue(texts.item_ids, combined, np.maximum(since, texts.embedded_on), texts.encoder, has_behaviour)
