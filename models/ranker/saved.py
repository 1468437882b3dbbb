"""Saves and loads rankers, and moves them to other lists of items."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.ranker.design import Design
from models.ranker.model import Ranker


def reindex_items(old: Ranker, old_index: Tensor, codes: Tensor | None = None) -> Ranker:
    """The same model for another list of items: for a warm start, or to score today's items with yesterday's champion.

    old_index  [items] int64, the item's index in the old model; -1 for a new item, which is unknown and has no codes
    codes      [items, levels] int64, codes to use from now on; None keeps the codes of the old model
    """
    new = Ranker(design=old.design, **{**old.settings, "n_items": len(old_index)}).to(old.known.device)
    rows = torch.cat([old_index, old_index.new_tensor([-1])]).to(old.known.device)
    rows = torch.where(rows < 0, old.n_items, rows)
    state = old.state_dict()
    item_tensors = ("ids.weight", "known", "codes", "nearest", "id_vectors")
    new.load_state_dict(state | {name: state[name][rows] for name in item_tensors})
    if codes is not None:
        new.set_codes(codes)
    return new.train(old.training)


def save(model: Ranker, folder: Path) -> None:
    """Write model.safetensors and model.json (the keyword arguments) into an existing folder."""
    save_file(model.state_dict(), folder / "model.safetensors")
    (folder / "model.json").write_text(json.dumps(model.settings | {"design": model.design.to_json()}, indent=2) + "\n")


def load(folder: Path) -> Ranker:
    """Load a saved model, ready to predict. Raises FileNotFoundError if a file is missing."""
    arguments = json.loads((folder / "model.json").read_text())
    model = Ranker(design=Design.from_json(arguments.pop("design")), **arguments)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model.eval()
