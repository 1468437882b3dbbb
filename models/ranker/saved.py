"""Rankers in folders, and on other lists of items."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.ranker.design import Design
from models.ranker.model import Ranker


def reindexed(old: Ranker, old_index: Tensor, codes: Tensor | None = None) -> Ranker:
    """The same model over another list of items: a warm start, or yesterday's champion on today's items.

    old_index  [items] int64, the item's index in the old model, -1 if it has none: unknown, no code
    codes      [items, levels] int64 to use from now on, None to keep those that the old model knows
    """
    new = Ranker(design=old.design, **{**old.settings, "n_items": len(old_index)}).to(old.known.device)
    rows = torch.cat([old_index, old_index.new_tensor([-1])]).to(old.known.device)
    rows = torch.where(rows < 0, old.n_items, rows)
    state = old.state_dict()
    of_items = ("ids.weight", "known", "codes", "nearest", "id_vectors")
    new.load_state_dict(state | {name: state[name][rows] for name in of_items})
    if codes is not None:
        new.set_codes(codes)
    return new.train(old.training)


def save(model: Ranker, folder: Path) -> None:
    """Write model.safetensors and model.json (the keyword arguments) into an existing folder."""
    save_file(model.state_dict(), folder / "model.safetensors")
    (folder / "model.json").write_text(json.dumps(model.settings | {"design": model.design.to_json()}, indent=2) + "\n")


def load(folder: Path) -> Ranker:
    """What save wrote, ready to predict. Raises FileNotFoundError if a file is missing."""
    told = json.loads((folder / "model.json").read_text())
    model = Ranker(design=Design.from_json(told.pop("design")), **told)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model.eval()
