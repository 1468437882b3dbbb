"""Train a ranker in several worker processes, one for each GPU. Each computes its part of every batch.

    python -m torch.distributed.run --standalone --nproc-per-node 8 -m jobs.ranking.train_worker <folder>

`train` writes the folder and starts the workers.
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


def train_in_workers(
    count: int, model: Ranker, data: Samples, checkpoint: LakeCheckpoint | None, name: str, **options: Any
) -> list[Epoch]:
    """Call `fit` in worker processes. The model is trained in place. returns the training curve

    options  further arguments of `fit`, which can be written as JSON
    """
    with TemporaryDirectory(prefix="sidereal-train-") as temporary:
        folder = Path(temporary)
        save(model, folder)
        for column in fields(Samples):
            if (values := getattr(data, column.name)) is not None:
                np.save(folder / f"{column.name}.npy", values)
        arguments = {"name": name, "checkpoint": checkpoint and asdict(checkpoint), **options}
        (folder / "arguments.json").write_text(json.dumps(arguments))
        run_workers("jobs.ranking.train_worker", folder, count)
        model.load_state_dict(load(folder / "trained").state_dict())
        model.eval()
        return [Epoch(**epoch) for epoch in json.loads((folder / "curve.json").read_text())]


def fit_ranker(model: Ranker, data: Samples, name: str, **options: Any) -> list[Epoch]:
    """Call `fit`.

    raises  UserError that says what to do if training diverged
    """
    try:
        return fit(model, data, **options)
    except FloatingPointError as error:
        raise UserError(f"training {name} diverged ({error}): lower ranker.lr") from None


def run_worker(folder: Path, is_first: bool) -> None:
    """The part of one worker. The first worker saves the model."""
    arguments = json.loads((folder / "arguments.json").read_text())
    files = {column.name: folder / f"{column.name}.npy" for column in fields(Samples)}
    columns = {name: np.load(file, mmap_mode="r") for name, file in files.items() if file.exists()}
    model = load(folder).to(device())
    name, checkpoint = arguments.pop("name"), arguments.pop("checkpoint")
    curve = fit_ranker(
        model,
        Samples(**columns),
        name,
        progress=progress(f"training {name}") if is_first else None,
        checkpoint=checkpoint and LakeCheckpoint(**checkpoint),
        **arguments,
    )
    if is_first:
        (folder / "trained").mkdir()
        save(model, folder / "trained")
        (folder / "curve.json").write_text(json.dumps([asdict(epoch) for epoch in curve]))


if __name__ == "__main__":
    with join_workers("jobs.ranking.train_worker") as is_first:
        run_worker(Path(sys.argv[1]), is_first)
