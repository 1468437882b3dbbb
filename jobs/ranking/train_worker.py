"""Train a ranker in several processes, each on its part of every batch: one for each GPU.

    python -m torch.distributed.run --standalone --nproc-per-node 8 -m jobs.ranking.train_worker <folder>

`train` writes the folder and starts this.
"""

import json
import sys
from dataclasses import asdict, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from jobs.lake import UserError
from jobs.ranking.checkpoint import LakeCheckpoint
from jobs.runtime.progress import progress
from jobs.runtime.workers import join_workers, run_workers
from models.precision import device
from models.ranker import Epoch, Ranker, Samples, fit, load, save


def train_in_ranks(
    count: int, model: Ranker, data: Samples, keeper: LakeCheckpoint | None, name: str, **told: Any
) -> list[Epoch]:
    """`fit` in ranks; `told` is what it is told beside these, and goes through JSON. The model is trained in place."""
    with TemporaryDirectory(prefix="sidereal-train-") as made:
        folder = Path(made)
        save(model, folder)
        for column in fields(Samples):
            if (values := getattr(data, column.name)) is not None:
                np.save(folder / f"{column.name}.npy", values)
        (folder / "told.json").write_text(json.dumps({"name": name, "keeper": keeper and asdict(keeper), **told}))
        run_workers("jobs.ranking.train_worker", folder, count)
        model.load_state_dict(load(folder / "trained").state_dict())
        model.eval()
        return [Epoch(**epoch) for epoch in json.loads((folder / "curve.json").read_text())]


def fit_told(model: Ranker, data: Samples, name: str, **told: Any) -> list[Epoch]:
    """`fit`, which tells what to do about a training that went astray.

    raises  UserError
    """
    try:
        return fit(model, data, **told)
    except FloatingPointError as error:
        raise UserError(f"training {name} went astray ({error}): lower ranker.lr") from None


def train_rank(folder: Path, first: bool) -> None:
    """One rank's part; the first one saves."""
    told = json.loads((folder / "told.json").read_text())
    files = {column.name: folder / f"{column.name}.npy" for column in fields(Samples)}
    held = {name: np.load(file, mmap_mode="r") for name, file in files.items() if file.exists()}
    model = load(folder).to(device())
    name, kept = told.pop("name"), told.pop("keeper")
    tell = progress(f"training {name}") if first else None
    curve = fit_told(model, Samples(**held), name, progress=tell, keeper=kept and LakeCheckpoint(**kept), **told)
    if first:
        (folder / "trained").mkdir()
        save(model, folder / "trained")
        (folder / "curve.json").write_text(json.dumps([asdict(epoch) for epoch in curve]))


if __name__ == "__main__":
    with join_workers("jobs.ranking.train_worker") as is_first:
        train_rank(Path(sys.argv[1]), is_first)
