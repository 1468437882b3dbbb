"""Frozen text encoder: any sentence-transformers or Hugging Face model in a local folder or by name."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from torch.nn.functional import normalize
from transformers.utils.logging import disable_progress_bar

CHUNK = 2048  # texts between two reports of progress; sorted by length within, so that padding stays small


def load(model: str, *, max_tokens: int) -> SentenceTransformer:
    """The model at a folder or of a name, on the GPU where there is one, in bfloat16 where that is fast.

    raises  OSError or ValueError if there is no readable model
    """
    disable_progress_bar()  # type: ignore[no-untyped-call]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    encoder = SentenceTransformer(model, device=device, trust_remote_code=False, model_kwargs={"use_safetensors": True})
    encoder.max_seq_length = min(max_tokens, encoder.max_seq_length or max_tokens)
    matrix_units = device == "cuda" or torch.cpu._is_amx_tile_supported()
    return encoder.bfloat16() if matrix_units else encoder  # half the work or less, cosine to float32 0.9999


def embed(
    encoder: SentenceTransformer,
    texts: Sequence[str],
    *,
    batch: int,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """Unit vectors of texts.

    texts    [items]
    returns  [items, dim] float32, each of length 1
    """
    if not texts:
        return np.zeros((0, encoder.get_sentence_embedding_dimension() or 0), np.float32)
    parts = []
    for start in range(0, len(texts), CHUNK):
        chunk = list(texts[start : start + CHUNK])
        vectors = encoder.encode(chunk, batch_size=batch, convert_to_tensor=True, show_progress_bar=False)
        parts.append(normalize(vectors.float(), dim=1).cpu().numpy())
        if progress:
            progress(min(start + CHUNK, len(texts)), len(texts))
    return np.concatenate(parts)
