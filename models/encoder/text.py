"""Texts to unit vectors, by any sentence-transformers or Hugging Face model in a local folder or by name."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from torch.nn.functional import normalize
from transformers.utils.logging import disable_progress_bar

Ints = NDArray[np.int64]
Tokens = list[list[int]]
CHUNK = 8192  # texts that are tokenised ahead, and sorted by length together


def load(model: str, *, max_tokens: int) -> SentenceTransformer:
    """The model at a folder or of a name, on the GPU where there is one, in bfloat16 where that is fast.

    raises  OSError or ValueError if there is no readable model
    """
    disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers gives it no types
    device = "cuda" if torch.cuda.is_available() else "cpu"
    encoder = SentenceTransformer(model, device=device, trust_remote_code=False, model_kwargs={"use_safetensors": True})
    encoder.max_seq_length = min(max_tokens, encoder.max_seq_length or max_tokens)
    return encoder.bfloat16() if fast_bfloat16() else encoder  # half the work or less, cosine to float32 0.9999


def fast_bfloat16() -> bool:
    """Whether the GPU, or else the processor (AMX or AVX512-BF16), computes bfloat16 faster than float32."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def embed(
    encoder: SentenceTransformer,
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
    vectors = np.zeros((len(texts), encoder.get_embedding_dimension() or 0), np.float32)
    starts = range(0, len(texts), CHUNK)
    with ThreadPoolExecutor(1) as ahead:
        waiting = ahead.submit(tokens_of, encoder, texts[:CHUNK])
        for start in starts:
            tokens = waiting.result()
            waiting = ahead.submit(tokens_of, encoder, texts[start + CHUNK : start + 2 * CHUNK])
            _embed(encoder, tokens, vectors[start : start + CHUNK], tokens_per_batch)
            if progress:
                progress(start + len(tokens), len(texts))
    return vectors


def tokens_of(encoder: SentenceTransformer, texts: Sequence[str]) -> Tokens:
    """Token ids of each text, cut at the encoder's limit."""
    if not texts:
        return []
    found: Tokens = encoder.tokenizer(list(texts), truncation=True, max_length=encoder.max_seq_length)["input_ids"]
    return found


def budgeted(lengths: Sequence[int], tokens: int) -> Iterator[Ints]:
    """Places in batches of at most so many tokens with padding (or of one text), the longest texts first."""
    order = np.argsort(-np.asarray(lengths), kind="stable")
    start = 0
    while start < len(order):
        most = max(1, tokens // max(1, lengths[order[start]]))
        yield order[start : start + most]
        start += most


def features(encoder: SentenceTransformer, tokens: Tokens) -> dict[str, torch.Tensor]:
    """Token ids and attention mask, both [texts, longest], on the encoder's device."""
    padded = encoder.tokenizer.pad({"input_ids": tokens}, return_tensors="pt")
    return {name: padded[name].to(encoder.device) for name in ("input_ids", "attention_mask")}


@torch.inference_mode()
def _embed(encoder: SentenceTransformer, tokens: Tokens, into: NDArray[np.float32], budget: int) -> None:
    encoder.eval()
    for rows in budgeted([len(ids) for ids in tokens], budget):
        found = encoder(features(encoder, [tokens[row] for row in rows]))["sentence_embedding"]
        into[rows] = normalize(found.float(), dim=1).cpu().numpy()
