"""A made-up log, and rankers of any design that are trained on it."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.ranker import Design, Histories, Ranker, Samples, build_samples, fit, round_to_grid, search_histories
from models.ranker.rates import Rates
from models.ranker.similar_rates import SimilarRates

USERS, ITEMS, EVENTS, ROWS = 12, 40, 600, 300
SIZES = (4, 4, 8)
EVERYTHING = Design(
    "item_embedding", 8, ("item_id", "semantic_id", "nearest_items", "prefix"), "semantic",
    ("simtier", "rates", "similar_rates", "time", "event", "position"), "experts",
)  # fmt: skip


def make_log(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "user": rng.integers(0, USERS, EVENTS), "item": rng.integers(0, ITEMS, EVENTS),
        "ts": np.sort(rng.integers(0, 10**9, EVENTS)), "kind": rng.integers(0, 2, EVENTS),
    }  # fmt: skip


def vectors() -> Tensor:
    drawn = torch.randn(ITEMS, 6, generator=torch.Generator().manual_seed(1))
    return round_to_grid(torch.nn.functional.normalize(drawn, dim=1))


def categories() -> Tensor:
    return torch.arange(ITEMS) % 5 - 1  # some items have none


def build_rows(design: Design, events: dict[str, np.ndarray], seed: int = 7) -> Samples:
    """Rows in which every second item is liked, so that any design can learn it."""
    rng = np.random.default_rng(seed)
    user, item, ts = rng.integers(0, USERS, ROWS), rng.integers(0, ITEMS, ROWS), rng.integers(0, 10**9, ROWS)
    histories = Histories.from_arrays(events["user"], events["item"], events["ts"], USERS, kinds=events["kind"])
    end = histories.ends(user, ts)
    result = search_histories(design, histories, user, item, end, vectors=vectors(), categories=categories())
    liked = rng.random((ROWS, 2)) < np.where(item % 2, 0.1, 0.9)[:, None]
    labels = np.logical_and.accumulate(liked, axis=1).astype(np.float32)  # a purchase follows a click
    shown = (events["user"], events["item"], events["ts"])
    taken = tuple(column[events["kind"] == 1] for column in shown)
    rates = Rates.from_arrays(shown, (taken[0], taken[1], taken[2]), USERS, ITEMS, 10**9).at(user, item, ts)
    similar_rates = SimilarRates(vectors(), categories(), shown=(0, 1), taken=1)
    similar = similar_rates.at(histories, user, item, end, rates[:, 0])
    return build_samples(design, histories, result, user, item, end, ts, labels, rates, similar)


def build_ranker(design: Design, **dropout: Any) -> Ranker:
    model = Ranker(
        design=design,
        n_items=ITEMS,
        tasks=("click", "purchase"),
        code_sizes=SIZES,
        nearest_of=ITEMS,
        kinds=2,
        **dropout,
    )
    if model.codes.shape[1]:
        i = torch.arange(ITEMS)
        model.set_codes(torch.stack([i % 4, i // 4 % 4, i % 8], dim=1))
    if "nearest_items" in design.features:
        model.set_nearest((vectors() @ vectors().T).topk(25, dim=1).indices)
    return model.eval()


def train_ranker(design: Design, rows: Samples) -> Ranker:
    model = build_ranker(design)
    fit(model, rows, seed=0, epochs=3, batch_size=64, lr=3e-2, valid_share=0.2, patience=3)
    return model
