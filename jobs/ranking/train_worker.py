"""Train a ranker, in this process or in several worker processes. Each worker computes its part of every batch.

    python -m torch.distributed.run --standalone --nproc-per-node 8 -m jobs.ranking.train_worker <folder>

`train` writes the folder and starts the workers.
"""

import sys
from pathlib import Path
from typing import Any

from jobs.lake import UserError
from jobs.runtime.checkpoint import Arrays
from jobs.runtime.train_workers import WorkerTraining
from jobs.runtime.workers import join_workers
from models.ranker import Epoch, Ranker, Samples, fit, load, save


def fit_ranker(model: Ranker, columns: Arrays, name: str, **options: Any) -> list[Epoch]:
    """Call `fit` on samples.

    columns  of the samples, by name
    raises   UserError that says what to do if training diverged
    """
    try:
        return fit(model, Samples(**columns), **options)
    except FloatingPointError as error:
        raise UserError(divergence_message(name, str(error))) from None


def divergence_message(name: str, cause: str) -> str:
    return f"training {name} diverged ({cause}): lower ranker.lr"


TRAINING = WorkerTraining("jobs.ranking.train_worker", save, load, fit_ranker, Epoch)

if __name__ == "__main__":
    with join_workers(TRAINING.module) as is_first_worker:
        TRAINING.run_worker(Path(sys.argv[1]), is_first_worker)
