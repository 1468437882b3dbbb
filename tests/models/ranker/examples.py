"""Rows whose likes are known, and small rankers to learn them."""

from dataclasses import replace

import numpy as np
import torch

from models.ranker import PRESETS, Design, Ranker, Samples, fit

ITEMS, K = 60, 6
SIZES = (6, 4, 8)


def make_codes() -> torch.Tensor:
    """[ITEMS, 3]: the first code decides what is liked in `make_rows`."""
    i = torch.arange(ITEMS)
    return torch.stack([i % 6, i // 6 % 4, i % 8], dim=1)


def make_rows(n: int = 3000, seed: int = 0, items: int = ITEMS) -> Samples:
    """A target is liked if the history contains its first code; the second label is often unknown."""
    rng = np.random.default_rng(seed)
    topk, target = rng.integers(0, items, (n, K)), rng.integers(0, items, n)
    topk = np.where(np.arange(K) < rng.integers(3, K + 1, (n, 1)), topk, -1).astype(np.int32)
    has_code = ((topk % 6 == target[:, None] % 6) & (topk >= 0)).any(axis=1)
    liked = (rng.random(n) < np.where(has_code, 0.9, 0.1)).astype(np.float32)
    second = np.where(rng.random(n) < 0.3, 1 - liked, np.nan)
    labels = np.stack([liked, second], axis=1).astype(np.float32)
    return Samples(target, topk, np.zeros((n, K)), labels, rng.integers(0, 99, n), target % 50, np.arange(n))


def build_ranker(design: Design = PRESETS["qarm_v2"], **other: object) -> Ranker:
    settings = {
        "n_items": ITEMS,
        "tasks": ("click", "purchase"),
        "code_sizes": SIZES,
        **other,
        "design": replace(design, k=K),
    }
    model = Ranker(**settings)  # type: ignore[arg-type]  # a test names settings freely
    if model.codes.shape[1]:
        model.set_codes(make_codes())
    return model.eval()


def train_ranker(model: Ranker, data: Samples, *, seed: int = 0, epochs: int = 6) -> Ranker:
    fit(model, data, seed=seed, epochs=epochs, batch_size=128, lr=1e-2, valid_share=0.2, patience=2)
    return model


def have_same_weights(a: Ranker, b: Ranker) -> bool:
    weights_b = b.state_dict()
    return all(torch.equal(value, weights_b[name]) for name, value in a.state_dict().items())
