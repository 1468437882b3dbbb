"""Training and prediction of the ranker on numpy arrays, in one process or in workers that share every batch."""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models import metrics
from models.distributed import worker_index
from models.precision import mixed_precision
from models.ranker.batch import Batch, build_batch
from models.ranker.epoch import Epoch
from models.ranker.histories import Int64s
from models.ranker.model import Ranker
from models.ranker.samples import Samples
from models.training import parallel
from models.training.checkpoint import Checkpoint, TrainingState, resume, save_state
from models.training.optimizers import build_optimizers

Progress = Callable[[int, int], None]  # batches done, maximum number of batches
PREDICT_ROWS, PREDICT_EVENTS = 4096, 1 << 21  # at a time


def fit(
    model: Ranker,
    data: Samples,
    *,
    seed: int,
    epochs: int,
    batch_size: int,
    lr: float,
    valid_share: float,
    patience: int,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
) -> list[Epoch]:
    """Train the model in place and leave it at the epoch that predicts the validation rows best, by `Epoch.score`.

    The loss is the sum over tasks of the mean binary cross-entropy of the known labels. Items that occur in the
    training rows become known to the model. The same model, data, seed, threads and workers give the same weights.
    If the validation rows have one class only, the last epoch is kept. A model that was trained before is measured
    first: that is epoch 0 of the curve, which has no training loss.

    valid_share  share of the rows, the latest in time, that measure the epochs and are not trained on
    patience     training stops after this many epochs without a better one
    checkpoint   saves the state, see `save_state`; a training that was killed resumes there and ends with the same
                 weights
    returns      the training curve
    raises       ValueError if no row before the validation rows has a label, FloatingPointError if training diverged
    """
    train, valid = split_by_time(data, valid_share)
    labels = data.labels[train]
    if not np.isfinite(labels).any():
        raise ValueError("no training row has a label")
    optimizers = build_optimizers(model, lr)
    state = resume(checkpoint, model, optimizers, Epoch)
    if not model.known.any():  # a new model
        _start_at_mean_labels(model, labels)
    elif not state.curve:  # the model it starts from may remain the best
        _validate_epoch(model, data, valid, 0, math.nan, state)
    _mark_known_items(model, data, train)
    with torch.random.fork_rng():
        for epoch in range(state.epochs_done + 1, epochs + 1):
            if epoch > state.best_epoch + patience and state.curve:
                break
            loss = _train_epoch(model, optimizers, data, train, seed, batch_size, epoch, epochs, progress)
            parallel.copy_weights_of_first_worker(model)
            _validate_epoch(model, data, valid, epoch, loss, state)
            save_state(checkpoint, model, optimizers, state)
    save_state(checkpoint, model, optimizers, state, is_end=True)
    model.load_state_dict(state.best_weights)
    model.eval()
    return state.curve


def predict(model: Ranker, data: Samples) -> NDArray[np.float32]:
    """Probabilities [rows, tasks] float32 of every task. Labels are ignored."""
    return _apply(model, data, np.arange(len(data)), len(model.tasks), lambda batch: model(batch).sigmoid())


def predict_attention(model: Ranker, data: Samples) -> NDArray[np.float32]:
    """The attention weight of each event [rows, k] float32, mean over the heads, 0 for padding."""
    return _apply(model, data, np.arange(len(data)), data.topk.shape[1], model.attention_weights)


@torch.no_grad()
def _apply(
    model: Ranker, data: Samples, rows: Int64s, width: int, function: Callable[[Batch], Tensor]
) -> NDArray[np.float32]:
    """The results [rows, width] float32 of a function of batches. Workers share the rows."""
    model.eval()
    results = np.zeros((len(rows), width), np.float32)
    places = parallel.take_share(np.arange(len(rows)))
    step = max(min(PREDICT_ROWS, PREDICT_EVENTS // sum(model.design.ks)), 1)
    for start in range(0, len(places), step):
        batch_places = places[start : start + step]
        batch, order = build_batch(data, rows[batch_places], model.design.ks, model.known.device)
        with mixed_precision(model.known.device):
            results[batch_places[order]] = function(batch).float().cpu().numpy()
    return parallel.sum_over_workers(results, model.known.device)


def split_by_time(data: Samples, share: float) -> tuple[Int64s, Int64s]:
    """The earlier rows, and the latest `share` of the rows. The order of the rows does not matter."""
    order = np.lexsort((data.target, data.groups, data.ts))
    at = len(order) - int(len(order) * share)
    return order[:at], order[at:]


def compute_loss(logits: Tensor, labels: Tensor, counts: Tensor | None = None) -> Tensor:
    """Sum over tasks of the mean cross-entropy of known (not NaN) labels. Logits and labels are [batch, tasks].

    counts  [tasks] number of known labels in the whole batch, if these rows are a part of it
    """
    known = ~labels.isnan()
    losses = F.binary_cross_entropy_with_logits(logits, labels.nan_to_num(), reduction="none")
    return ((losses * known).sum(dim=0) / (known.sum(dim=0) if counts is None else counts).clamp(min=1)).sum()


def _start_at_mean_labels(model: Ranker, labels: NDArray[np.float32]) -> None:
    """Let the model predict the mean label of each task before it is trained. labels: [rows, tasks], NaN: unknown"""
    known = np.isfinite(labels).sum(axis=0)
    shares = np.where(known, np.nansum(labels, axis=0) / np.maximum(known, 1), 0.5)
    model.head.init_biases(torch.from_numpy(shares).float().clamp(1e-4, 1 - 1e-4))


def _mark_known_items(model: Ranker, data: Samples, train: Int64s) -> None:
    """Items that occur in the training rows, as targets or in histories, become known to the model."""
    seen = np.zeros(model.n_items + 1, bool)
    for rows in np.array_split(train, len(train) // PREDICT_ROWS + 1):
        seen[data.target[rows]] = seen[data.topk[rows]] = True  # PADDING, -1, is the unknown item's place
    model.known[:-1] |= torch.from_numpy(seen[:-1]).to(model.known.device)


def _train_epoch(
    model: Ranker,
    optimizers: list[torch.optim.Optimizer],
    data: Samples,
    train: Int64s,
    seed: int,
    batch_size: int,
    epoch: int,
    epochs: int,
    progress: Progress | None,
) -> float:
    """Train on all rows once. returns the mean loss of a batch"""
    model.train()
    device = model.known.device
    order = train[np.random.default_rng([seed, epoch]).permutation(len(train))]
    dropout = np.random.default_rng([seed, epoch, 1 + worker_index()])
    torch.manual_seed(int(dropout.integers(1 << 62)))
    batches = math.ceil(len(order) / batch_size)
    total = torch.zeros(1, device=device)
    for number in range(batches):
        batch_rows = order[number * batch_size : (number + 1) * batch_size]
        counts = torch.from_numpy(np.isfinite(data.labels[batch_rows]).sum(axis=0)).to(device)
        model.zero_grad()
        if len(rows := parallel.take_share(batch_rows)):
            batch, placed = build_batch(data, rows, model.design.ks, device)
            labels = torch.as_tensor(data.labels[rows[placed]], dtype=torch.float32, device=device)
            with mixed_precision(model.known.device):
                loss = compute_loss(model(batch), labels, counts)
            torch.autograd.backward(loss)
            total += loss.detach()
        parallel.sum_gradients(model)
        for optimizer in optimizers:
            optimizer.step()
        if progress is not None:
            progress((epoch - 1) * batches + number + 1, epochs * batches)
    return float(parallel.sum_over_workers(total.cpu().numpy(), device)[0]) / batches


def _validate_epoch(
    model: Ranker, data: Samples, valid: Int64s, epoch: int, train_loss: float, state: TrainingState[Epoch]
) -> None:
    """Add the epoch to the curve, and keep its weights if it is the best so far."""
    predicted = _apply(model, data, valid, len(model.tasks), lambda batch: model(batch).sigmoid())
    if not ((math.isfinite(train_loss) or not epoch) and np.isfinite(predicted).all()):
        raise FloatingPointError(f"epoch {epoch} gives NaN or infinity")
    labels, groups = data.labels[valid], data.groups[valid]

    def mean(metric: metrics.Metric) -> float:
        tasks = zip(labels.T, predicted.T, strict=True)
        values = np.array([metric(task_labels, scores, groups) for task_labels, scores in tasks])
        return float(np.nanmean(values)) if np.isfinite(values).any() else math.nan

    point = Epoch(epoch, train_loss, mean(metrics.log_loss), mean(metrics.auc), mean(metrics.gauc))
    state.add(point, model)
