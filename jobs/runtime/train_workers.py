"""Training in several worker processes, one for each GPU: how a model and its data get there and come back."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Generic, TypeVar

import numpy as np
from torch import nn

from jobs.runtime.checkpoint import Arrays, LakeCheckpoint
from jobs.runtime.progress import progress
from jobs.runtime.workers import run_workers
from models.precision import device
from models.training.checkpoint import Epoch

M = TypeVar("M", bound=nn.Module)
E = TypeVar("E", bound=Epoch)


@dataclass(frozen=True)
class WorkerTraining(Generic[M, E]):
    """One kind of model, and how workers train it.

    module      `python -m <module> <folder>` runs one worker: it calls `run_worker`
    save, load  write a model into a folder, and read it
    fit         trains a model in place on arrays and returns the training curve. Its third argument is the name of the
                model, for messages; the others are keywords, `progress` and `checkpoint` among them
    epoch       the points of this curve
    """

    module: str
    save: Callable[[M, Path], None]
    load: Callable[[Path], M]
    fit: Callable[..., list[E]]
    epoch: type[E]

    def run(
        self, count: int, model: M, arrays: Arrays, checkpoint: LakeCheckpoint | None, name: str, **options: Any
    ) -> list[E]:
        """Train the model in place, in this process or in several. returns the training curve

        count    of processes that share every batch
        name     of the model, for messages
        options  further arguments of `fit`, which can be written as JSON
        """
        if count == 1:
            return self.fit(
                model, arrays, name, checkpoint=checkpoint, progress=progress(f"training {name}"), **options
            )
        with TemporaryDirectory(prefix="sidereal-train-") as temporary:
            folder = Path(temporary)
            self.save(model, folder)
            (folder / "arrays").mkdir()
            for key, values in arrays.items():
                np.save(folder / "arrays" / f"{key}.npy", values)
            arguments = {"name": name, "checkpoint": checkpoint and asdict(checkpoint), "options": options}
            (folder / "arguments.json").write_text(json.dumps(arguments))
            run_workers(self.module, folder, count)
            model.load_state_dict(self.load(folder / "trained").state_dict())
            model.eval()
            return [self.epoch(**epoch) for epoch in json.loads((folder / "curve.json").read_text())]

    def run_worker(self, folder: Path, is_first: bool) -> None:
        """The part of one worker. The first worker saves the model."""
        arguments = json.loads((folder / "arguments.json").read_text())
        arrays = {file.stem: np.load(file, mmap_mode="r") for file in sorted((folder / "arrays").glob("*.npy"))}
        checkpoint = arguments["checkpoint"] and LakeCheckpoint(**arguments["checkpoint"])
        name = arguments["name"]
        report_progress = progress(f"training {name}") if is_first else None
        model = self.load(folder).to(device())
        curve = self.fit(model, arrays, name, checkpoint=checkpoint, progress=report_progress, **arguments["options"])
        if is_first:
            (folder / "trained").mkdir()
            self.save(model, folder / "trained")
            (folder / "curve.json").write_text(json.dumps([asdict(epoch) for epoch in curve]))
