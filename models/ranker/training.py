"""Training of the ranker on numpy arrays, in one process or in workers that share every batch."""

import math
from collections.abc import Callable
from typing import NotRequired, TypedDict, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.distributed import worker_index
from models.precision import mixed_precision
from models.ranker.batch import build_batch
from models.ranker.epoch import Epoch
from models.ranker.histories import Int64s
from models.ranker.model import Ranker
from models.ranker.prediction import PREDICT_ROWS
from models.ranker.samples import Samples
from models.ranker.training_rows import TrainingRows
from models.ranker.validation import Validation
from models.training import parallel
from models.training.checkpoint import Checkpoint, resume, save_state
from models.training.optimizers import build_optimizers

Progress = Callable[[int, int], None]  # batches done, maximum number of batches


class FitOptions(TypedDict):
    """The keyword arguments of `fit_rows`."""

    seed: int
    epochs: int
    batch_size: int
    lr: float
    patience: int
    progress: NotRequired[Progress | None]
    checkpoint: NotRequired[Checkpoint | None]


def fit(model: Ranker, data: Samples, *, valid_share: float, **options: Unpack[FitOptions]) -> list[Epoch]:
    """Train on all rows but the latest, see `fit_rows`.

    valid_share  share of the rows, the latest in time, that measure the epochs
    """
    return fit_rows(model, TrainingRows.split_by_time(data, valid_share), **options)


def fit_rows(
    model: Ranker,
    rows: TrainingRows,
    *,
    seed: int,
    epochs: int,
    batch_size: int,
    lr: float,
    patience: int,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
) -> list[Epoch]:
    """Train the model in place and leave it at the epoch that predicts the validation rows best, by `Epoch.score`.

    In the end, its probabilities are calibrated on these rows.
    The loss is the sum over tasks of the mean binary cross-entropy of the known labels, or of `Samples.targets`. Items
    that occur in the training rows become known to the model. The same model, data, seed, threads and workers give the
    same weights. If the validation rows have one class only, the last epoch is kept. A model that was trained before is
    measured first: that is epoch 0 of the curve, which has no training loss.

    patience     training stops after this many epochs without a better one
    checkpoint   saves the state, see `save_state`; a training that was killed resumes there and ends with the same
                 weights
    returns      the training curve
    raises       ValueError if no row to train on has a label, FloatingPointError if training diverged
    """
    device = model.known.device
    _, places = rows.select_own(rows.train)
    known, means = _count_labels(rows.data.labels[places], device)
    if not known.any():
        raise ValueError("no training row has a label")
    valid = Validation(rows, device)
    optimizers = build_optimizers(model, lr)
    state = resume(checkpoint, model, optimizers, Epoch)
    if not model.known.any():  # a new model predicts the mean label of each task before it is trained
        model.head.init_biases(torch.from_numpy(means).float().clamp(1e-4, 1 - 1e-4))
    elif not state.curve:  # the model it starts from may remain the best
        valid.add_epoch(model, 0, math.nan, state)
    _mark_known_items(model, rows.data, places)
    del places
    with torch.random.fork_rng():
        for epoch in range(state.epochs_done + 1, epochs + 1):
            if epoch > state.best_epoch + patience and state.curve:
                break
            loss = _train_epoch(model, optimizers, rows, seed, batch_size, epoch, epochs, progress)
            parallel.copy_weights_of_first_worker(model)
            valid.add_epoch(model, epoch, loss, state)
            save_state(checkpoint, model, optimizers, state)
    save_state(checkpoint, model, optimizers, state, is_end=True)
    model.load_state_dict(state.best_weights)
    if state.best_epoch:  # otherwise it keeps the weights that it started from
        valid.calibrate(model)
    model.eval()
    return state.curve


def compute_loss(logits: Tensor, labels: Tensor, counts: Tensor | None = None) -> Tensor:
    """Sum over tasks of the mean cross-entropy of known (not NaN) labels. Logits and labels are [batch, tasks].

    counts  [tasks] number of known labels in the whole batch, if these rows are a part of it
    """
    known = ~labels.isnan()
    losses = F.binary_cross_entropy_with_logits(logits, labels.nan_to_num(), reduction="none")
    return ((losses * known).sum(dim=0) / (known.sum(dim=0) if counts is None else counts).clamp(min=1)).sum()


def _count_labels(labels: NDArray[np.floating], device: torch.device) -> NDArray[np.float64]:
    """Of each task, over the rows of all workers: the number of known labels, and their mean. Returns [2, tasks].

    labels  [own rows, tasks], NaN: unknown
    """
    sums = np.stack([np.isfinite(labels).sum(axis=0), np.nansum(labels, axis=0, dtype=np.float64)])
    known, ones = parallel.sum_over_workers(sums, device)
    return np.stack([known, np.where(known > 0, ones / np.maximum(known, 1), 0.5)])


def _mark_known_items(model: Ranker, data: Samples, places: Int64s) -> None:
    """Items that occur in the training rows, as targets or in histories, become known to the model.

    places  of the training rows that this worker has
    """
    seen = np.zeros(model.n_items + 1, np.float32)
    for part in np.array_split(places, len(places) // PREDICT_ROWS + 1):
        seen[data.target[part]] = seen[data.topk[part]] = 1  # PADDING, -1, is the unknown item's place
    seen = parallel.sum_over_workers(seen, model.known.device)
    model.known[:-1] |= torch.from_numpy(seen[:-1] > 0).to(model.known.device)


def _train_epoch(
    model: Ranker,
    optimizers: list[torch.optim.Optimizer],
    rows: TrainingRows,
    seed: int,
    batch_size: int,
    epoch: int,
    epochs: int,
    progress: Progress | None,
) -> float:
    """Train on all rows once. returns the mean loss of a batch"""
    model.train()
    device, data = model.known.device, rows.data
    order = rows.train[np.random.default_rng([seed, epoch]).permutation(len(rows.train))]
    dropout = np.random.default_rng([seed, epoch, 1 + worker_index()])
    torch.manual_seed(int(dropout.integers(1 << 62)))
    batches = math.ceil(len(order) / batch_size)
    total = torch.zeros(1, device=device)
    for number in range(batches):
        batch_rows = order[number * batch_size : (number + 1) * batch_size]
        _, own = rows.select_own(batch_rows)
        counts = torch.from_numpy(rows.count_labels(batch_rows, own, device)).to(device)
        model.zero_grad()
        if len(own):
            batch, placed = build_batch(data, own, model.design.ks, device)
            targets = data.labels if data.targets is None else data.targets
            asked = torch.as_tensor(targets[own[placed]], dtype=torch.float32, device=device)
            with mixed_precision(model.known.device):
                loss = compute_loss(model(batch), asked, counts)
            torch.autograd.backward(loss)
            total += loss.detach()
        parallel.sum_gradients(model)
        for optimizer in optimizers:
            optimizer.step()
        if progress is not None:
            progress((epoch - 1) * batches + number + 1, epochs * batches)
    return float(parallel.sum_over_workers(total.cpu().numpy(), device)[0]) / batches
