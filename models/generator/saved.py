"""Saves and loads generators, and moves them to other lists of items."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.generator.design import Design
from models.generator.model import Generator
from models.generator.words import Words

# stored with the model, though no checkpoint holds them
NOT_TRAINED = ("items.codes", "items.text", "items.word_offsets", "items.word_numbers", "items.rarity")


def reindex_items(
    old: Generator,
    old_index: Tensor,
    codes: Tensor | None = None,
    text: Tensor | None = None,
    words: Words | None = None,
) -> Generator:
    """The same model for another list of items: for a warm start, or to score today's items with yesterday's model.

    old_index  [items] int64, the item's index in the old model; -1 for a new item, which is unknown and has no codes
    codes      [items, levels] int64,
    text       [items, text_dim] and
    words      of the items' texts: to use from now on; None keeps those of the old model. Code tables grow if a code
               is beyond them: a code keeps its embedding
    """
    largest = [0] * old.items.codes.shape[1] if codes is None or not len(codes) else (codes.amax(dim=0) + 1).tolist()
    sizes = tuple(map(max, old.settings["code_sizes"], largest))
    new = Generator(design=old.design, **{**old.settings, "n_items": len(old_index), "code_sizes": sizes})
    new.to(old.device)
    rows = torch.cat([old_index, old_index.new_tensor([-1])]).to(old.device)
    rows = torch.where(rows < 0, old.n_items, rows)
    state = old.state_dict()
    state["items.known"] = state["items.known"][rows]
    if "id" in old.design.inputs:
        state["items.ids.weight"] = state["items.ids.weight"][rows]
    for level, table in enumerate(new.items.levels):
        name, grown = f"items.levels.{level}.weight", table.state_dict()["weight"].clone()
        count = len(state[name]) - 1
        grown[:count] = state[name][:count]
        state[name] = grown
    new.load_state_dict(state)
    new.items.set_codes(old.items.codes_of(rows[:-1]) if codes is None else codes)
    new.items.set_text(old.items.text[rows[:-1]] if text is None else text)
    new.items.set_words(old.items.words_of(rows[:-1]) if words is None else words)
    return new.train(old.training)


def save(model: Generator, folder: Path) -> None:
    """Write model.safetensors and model.json (the keyword arguments) into an existing folder."""
    tensors = model.state_dict() | {name: model.get_buffer(name) for name in NOT_TRAINED}
    save_file(tensors, folder / "model.safetensors")
    (folder / "model.json").write_text(json.dumps(model.settings | {"design": model.design.to_json()}, indent=2) + "\n")


def load(folder: Path) -> Generator:
    """Load a saved model, ready to predict. Raises FileNotFoundError if a file is missing."""
    arguments = json.loads((folder / "model.json").read_text())
    model = Generator(design=Design.from_json(arguments.pop("design")), **arguments)
    tensors = load_file(folder / "model.safetensors")
    for name in NOT_TRAINED:
        module, _, buffer = name.partition(".")
        setattr(model.get_submodule(module), buffer, tensors.pop(name))
    model.load_state_dict(tensors)
    return model.eval()
