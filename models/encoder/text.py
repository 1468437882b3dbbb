"""Texts, and images where an encoder looks at them, to unit vectors, by any encoder in a folder or of a name."""

from collections.abc import Callable, Iterator, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

Ints = NDArray[np.int64]
Tokens = list[list[int]]
CHUNK = 8192  # texts that are tokenised ahead, and sorted by length together
T = TypeVar("T")


class NotFiniteError(ValueError):
    """Weights or what they compute are no numbers."""


class Embedder(Protocol):
    """An encoder that is ready to embed."""

    @property
    def dim(self) -> int: ...

    @property
    def dtype(self) -> torch.dtype: ...

    def items(self, texts: Sequence[str], images: Sequence[str | None]) -> Sequence[Sized]:
        """What `collate` takes of each item, as long as it has tokens.

        A text is cut at the encoder's limit and cannot hold a special token. An image is only named.
        """

    def collate(self, items: Sequence[Any]) -> Any:
        """What `vectors` takes."""

    def vectors(self, batch: Any) -> Tensor:
        """[items, dim], of any length."""

    def left_out(self) -> str:
        """How many images could not be read so far, and why one of them; empty if there is none."""


def embed(
    encoder: Embedder,
    texts: Sequence[str],
    images: Sequence[str | None] | None = None,
    *,
    tokens_per_batch: int,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """Unit vectors of items.

    The next texts are tokenised while the model works, and the next batch's images are decoded: both leave Python's
    lock alone.

    texts             [items]
    images            [items] name of each item's image; None: no item has one
    tokens_per_batch  of items of like length together, with padding; a longer item is a batch of its own
    returns           [items, dim] float32, each of length 1
    raises            NotFiniteError if a vector is no number: compared with anything, it would seem the nearest
    """
    vectors = np.zeros((len(texts), encoder.dim), np.float32)
    images = [None] * len(texts) if images is None else images
    starts = range(0, len(texts), CHUNK)
    chunks = _ahead(encoder.items(texts[start : start + CHUNK], images[start : start + CHUNK]) for start in starts)
    for start, items in zip(starts, chunks, strict=True):
        _embed(encoder, items, vectors[start : start + CHUNK], tokens_per_batch)
        if progress:
            progress(start + len(items), len(texts))
    return vectors


def _ahead(parts: Iterator[T]) -> Iterator[T]:
    """Each part, while the next one is made in a thread."""
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(next, parts, None)
        while (part := waiting.result()) is not None:
            waiting = thread.submit(next, parts, None)
            yield part


def budgeted(lengths: Sequence[int], tokens: int) -> Iterator[Ints]:
    """Places in batches of at most so many tokens with padding (or of one text), the longest texts first."""
    order = np.argsort(-np.asarray(lengths), kind="stable")
    start = 0
    while start < len(order):
        most = max(1, tokens // max(1, lengths[order[start]]))
        yield order[start : start + most]
        start += most


@torch.inference_mode()
def _embed(encoder: Embedder, items: Sequence[Sized], into: NDArray[np.float32], budget: int) -> None:
    batches = list(budgeted([len(item) for item in items], budget))
    collated = _ahead(encoder.collate([items[row] for row in rows]) for rows in batches)
    for rows, batch in zip(batches, collated, strict=True):
        into[rows] = normalize(encoder.vectors(batch).float(), dim=1).cpu().numpy()
        if not np.isfinite(into[rows]).all():
            raise NotFiniteError("it gives vectors that are no numbers")
