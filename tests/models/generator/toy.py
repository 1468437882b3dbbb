"""A small log with a rule: each item is followed by one other item, and codes and text tell which."""

from dataclasses import replace

import numpy as np
import torch

from models.generator import Design, Generator, fit
from models.generator.epoch import Epoch
from models.generator.words import Words
from models.ranker.histories import Histories, Int64s

ITEMS, USERS, SIZES, TEXT = 48, 240, (4, 4, 3), 48


def shrink(design: Design) -> Design:
    """The design with a model that is small enough to learn the rule within a second."""
    return replace(design, dim=32, layers=1, length=8, dropout=0.1, block_dropout=0.1)


def make_codes(items: int = ITEMS) -> torch.Tensor:
    """[items, 3], a different row for each item."""
    i = torch.arange(items)
    return torch.stack([i % 4, i // 4 % 4, i // 16], dim=1)


def make_texts(items: int = ITEMS) -> list[str]:
    return [f"item number{item} of{item % 4}" for item in range(items)]


def make_histories(users: int = USERS, seed: int = 0, longest: int = 12, items: int = ITEMS) -> Histories:
    """Users walk through the items in steps of 7, from a random one."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, longest + 1, users)
    user = np.repeat(np.arange(users), lengths)
    place = np.arange(len(user)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return Histories.from_arrays(user, (rng.integers(0, items, users)[user] + 7 * place) % items, place, users)


def ends_before_last(histories: Histories) -> Int64s:
    """Where histories end if the last event of each user is held out."""
    return histories.offsets[1:] - 1


def build_generator(design: Design, items: int = ITEMS, seed: int = 0) -> Generator:
    model = Generator(design=design, n_items=items, code_sizes=SIZES, text_dim=TEXT, seed=seed)
    if design.reads_codes:
        model.items.set_codes(make_codes(items))
    if "text" in design.inputs:
        model.items.set_text(torch.eye(TEXT)[torch.arange(items) % TEXT])
    if "words" in design.inputs:
        model.items.set_words(Words.read(make_texts(items)))
    return model.eval()


def train(model: Generator, histories: Histories, *, epochs: int = 12, seed: int = 0, **other: object) -> list[Epoch]:
    options = {"tokens": 256, "negatives": 32, "lr": 1e-2, "valid_users": 100, "patience": epochs, **other}
    ends = ends_before_last(histories)
    return fit(model, histories, ends, seed=seed, epochs=epochs, **options)  # type: ignore[arg-type]  # free settings


def have_same_weights(a: Generator, b: Generator) -> bool:
    weights_b = b.state_dict()
    return all(torch.equal(value, weights_b[name]) for name, value in a.state_dict().items())
