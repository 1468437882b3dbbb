"""Texts and images of items to unit vectors, by any kind of encoder."""

from collections.abc import Callable, Iterator, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from models.token_batches import token_batches

Tokens = list[list[int]]
CHUNK = 8192  # items that are tokenised in advance and sorted by length together
T = TypeVar("T")


class NotFiniteError(ValueError):
    """Weights, or numbers computed from them, are NaN or infinite."""


class Embedder(Protocol):
    """An encoder that is ready to embed."""

    @property
    def dim(self) -> int: ...

    @property
    def dtype(self) -> torch.dtype: ...

    def items(self, texts: Sequence[str], images: Sequence[str | None]) -> Sequence[Sized]:
        """What `collate` takes of each item; its length is the item's number of tokens.

        A text is cut at the encoder's limit and cannot hold a special token. An image is given by its name.
        """

    def collate(self, items: Sequence[Any]) -> Any:
        """The input of `vectors`."""

    def vectors(self, batch: Any) -> Tensor:
        """[items, dim], not normalised."""

    def left_out(self) -> str:
        """How many images could not be read so far, and why one of them could not; empty if all could be read."""


def embed(
    encoder: Embedder,
    texts: Sequence[str],
    images: Sequence[str | None] | None = None,
    *,
    tokens_per_batch: int,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """Compute unit vectors of items.

    While the model works, threads tokenise the next texts and decode the images of the next batch.

    texts             [items]
    images            [items] name of each item's image; None if no item has one
    tokens_per_batch  with padding; an item with more tokens is a batch of its own
    returns           [items, dim] float32, each of length 1
    raises            NotFiniteError if a vector contains NaN or infinity
    """
    vectors = np.zeros((len(texts), encoder.dim), np.float32)
    images = [None] * len(texts) if images is None else images
    starts = range(0, len(texts), CHUNK)
    chunks = _prefetch(encoder.items(texts[start : start + CHUNK], images[start : start + CHUNK]) for start in starts)
    for start, items in zip(starts, chunks, strict=True):
        _embed_chunk(encoder, items, vectors[start : start + CHUNK], tokens_per_batch)
        if progress:
            progress(start + len(items), len(texts))
    return vectors


def _prefetch(parts: Iterator[T]) -> Iterator[T]:
    """Yield each part while a thread makes the next one."""
    with ThreadPoolExecutor(1) as thread:
        future = thread.submit(next, parts, None)
        while (part := future.result()) is not None:
            future = thread.submit(next, parts, None)
            yield part


@torch.inference_mode()
def _embed_chunk(encoder: Embedder, items: Sequence[Sized], vectors: NDArray[np.float32], budget: int) -> None:
    """Write the vectors of the items into `vectors` [items, dim]."""
    batches = list(token_batches([len(item) for item in items], budget))
    collated = _prefetch(encoder.collate([items[row] for row in rows]) for rows in batches)
    for rows, batch in zip(batches, collated, strict=True):
        vectors[rows] = normalize(encoder.vectors(batch).float(), dim=1).cpu().numpy()
        # Compared with anything, NaN would seem the nearest.
        if not np.isfinite(vectors[rows]).all():
            raise NotFiniteError("some of its vectors are not finite")
