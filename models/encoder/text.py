"""Texts to unit vectors, by any encoder in a local folder or of a Hugging Face name."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

Ints = NDArray[np.int64]
Tokens = list[list[int]]
CHUNK = 8192  # texts that are tokenised ahead, and sorted by length together


class Embedder(Protocol):
    """An encoder that is ready to embed."""

    @property
    def dim(self) -> int: ...

    @property
    def dtype(self) -> torch.dtype: ...

    def tokens_of(self, texts: Sequence[str]) -> Tokens:
        """Token ids of each text, cut at the encoder's limit; a text cannot hold a special token."""

    def vectors(self, tokens: Tokens) -> Tensor:
        """[texts, dim], of any length."""


def fast_bfloat16() -> bool:
    """Whether the GPU, or else the processor (AMX or AVX512-BF16), computes bfloat16 faster than float32."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def embed(
    encoder: Embedder,
    texts: Sequence[str],
    *,
    tokens_per_batch: int,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """Unit vectors of texts.

    The next texts are tokenised while the model works: in a thread, as the tokeniser leaves Python's lock alone.

    texts             [items]
    tokens_per_batch  of texts of like length together, with padding; a longer text is a batch of its own
    returns           [items, dim] float32, each of length 1
    """
    vectors = np.zeros((len(texts), encoder.dim), np.float32)
    with ThreadPoolExecutor(1) as ahead:
        waiting = ahead.submit(encoder.tokens_of, texts[:CHUNK])
        for start in range(0, len(texts), CHUNK):
            tokens = waiting.result()
            waiting = ahead.submit(encoder.tokens_of, texts[start + CHUNK : start + 2 * CHUNK])
            _embed(encoder, tokens, vectors[start : start + CHUNK], tokens_per_batch)
            if progress:
                progress(start + len(tokens), len(texts))
    return vectors


def budgeted(lengths: Sequence[int], tokens: int) -> Iterator[Ints]:
    """Places in batches of at most so many tokens with padding (or of one text), the longest texts first."""
    order = np.argsort(-np.asarray(lengths), kind="stable")
    start = 0
    while start < len(order):
        most = max(1, tokens // max(1, lengths[order[start]]))
        yield order[start : start + most]
        start += most


@torch.inference_mode()
def _embed(encoder: Embedder, tokens: Tokens, into: NDArray[np.float32], budget: int) -> None:
    for rows in budgeted([len(ids) for ids in tokens], budget):
        found = encoder.vectors([tokens[row] for row in rows])
        into[rows] = normalize(found.float(), dim=1).cpu().numpy()
