"""Train a generator, in this process or in several worker processes. Each worker computes its part of every batch.

    python -m torch.distributed.run --standalone --nproc-per-node 8 -m jobs.generation.train_worker <folder>

`generate` writes the folder and starts the workers.
"""

import sys
from pathlib import Path
from typing import Any

from jobs.lake import UserError
from jobs.runtime.checkpoint import Arrays
from jobs.runtime.train_workers import WorkerTraining
from jobs.runtime.workers import join_workers
from models.generator import Epoch, Generator, fit, load, save
from models.ranker.histories import Histories, Int64s


def list_arrays(histories: Histories, ends: Int64s) -> Arrays:
    """What `fit` reads, by name."""
    arrays: Arrays = {"offsets": histories.offsets, "items": histories.items, "ends": ends}
    return arrays if histories.hidden_by is None else arrays | {"hidden_by": histories.hidden_by}


def read_histories(arrays: Arrays) -> Histories:
    """The histories that `list_arrays` listed, without times."""
    return Histories(arrays["offsets"], arrays["items"], arrays["offsets"][:0], hidden_by=arrays.get("hidden_by"))


def fit_generator(model: Generator, arrays: Arrays, name: str, **options: Any) -> list[Epoch]:
    """Call `fit` on histories.

    arrays  see `list_arrays`
    name    of the model, for the message
    raises  UserError that says what to do if training diverged
    """
    try:
        return fit(model, read_histories(arrays), arrays["ends"], **options)
    except FloatingPointError as error:
        raise UserError(f"training {name} diverged ({error}): lower generator.lr") from None


TRAINING = WorkerTraining("jobs.generation.train_worker", save, load, fit_generator, Epoch)

if __name__ == "__main__":
    with join_workers(TRAINING.module) as is_first_worker:
        TRAINING.run_worker(Path(sys.argv[1]), is_first_worker)
