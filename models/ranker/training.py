"""Training and prediction of the ranker on numpy arrays, by one process or by ranks that share every batch."""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models import metrics
from models.precision import fast_bfloat16
from models.ranker import parallel
from models.ranker.batch import Batch, batch_of
from models.ranker.checkpoint import Course, Epoch, Keeper, go_on, keep
from models.ranker.histories import Int64s
from models.ranker.model import Ranker
from models.ranker.samples import Samples

Progress = Callable[[int, int], None]  # batches done, batches at most
PREDICT_ROWS, PREDICT_EVENTS = 4096, 1 << 21  # at once


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
    keeper: Keeper | None = None,
) -> list[Epoch]:
    """Train the model in place and leave it at the epoch that foretells the validation rows best, by `Epoch.worth`.

    The loss is the sum over tasks of the mean binary cross-entropy of the known labels. Items that occur in the
    training rows become known to the model. The same model, data, seed, threads and ranks give the same weights.
    Where the validation rows hold one class only, the last epoch is kept. A model that was trained before is judged as
    it comes, too: that is epoch 0 of the curve, which has no training loss.

    valid_share  share of the rows, the latest in time, that judge the epochs and are not trained on
    patience     epochs without a better one after which training stops
    keeper       where every epoch is kept, so that a training that was killed goes on from there, to the same weights
    returns      the training curve
    raises       ValueError if no row before the validation rows has a label, FloatingPointError if training goes astray
    """
    train, valid = split_by_time(data, valid_share)
    labels = data.labels[train]
    if not np.isfinite(labels).any():
        raise ValueError("no training row has a label")
    optimizers = optimizers_of(model, lr)
    course = Course() if keeper is None else go_on(keeper, model, optimizers)
    if not model.known.any():  # it was never trained: nothing is known but how often labels are 1
        known = np.isfinite(labels).sum(axis=0)
        shares = np.where(known, np.nansum(labels, axis=0) / np.maximum(known, 1), 0.5)
        model.head.start_at(torch.from_numpy(shares).float().clamp(1e-4, 1 - 1e-4))
    elif not course.curve:  # what it starts from may be as good as it gets
        _judge(model, data, valid, 0, math.nan, course)
    seen = np.zeros(model.n_items + 1, bool)
    for rows in np.array_split(train, len(train) // PREDICT_ROWS + 1):
        seen[data.target[rows]] = seen[data.topk[rows]] = True  # PADDING is the last row, the unknown item's
    model.known[:-1] |= torch.from_numpy(seen[:-1]).to(model.known.device)
    with torch.random.fork_rng():
        for epoch in range(course.done + 1, epochs + 1):
            if epoch > course.best_epoch + patience and course.curve:
                break
            loss = _train_epoch(model, optimizers, data, train, seed, batch_size, epoch, epochs, progress)
            parallel.agree(model)
            _judge(model, data, valid, epoch, loss, course)
            if keeper is not None and parallel.rank() == 0:
                keep(keeper, model, optimizers, course)
    model.load_state_dict(course.weights)
    model.eval()
    return course.curve


def predict(model: Ranker, data: Samples) -> NDArray[np.float32]:
    """Probabilities [rows, tasks] float32 of every task; labels are not looked at."""
    return _each(model, data, np.arange(len(data)), len(model.tasks), lambda batch: model(batch).sigmoid())


def weigh(model: Ranker, data: Samples) -> NDArray[np.float32]:
    """What each event found weighs in attention [rows, k] float32, mean over its heads, 0 for padding."""
    return _each(model, data, np.arange(len(data)), data.topk.shape[1], model.shares)


@torch.no_grad()
def _each(model: Ranker, data: Samples, rows: Int64s, width: int, of: Callable[[Batch], Tensor]) -> NDArray[np.float32]:
    """What a function [batch, width] of batches gives for the rows, float32; ranks share the rows."""
    model.eval()
    found = np.zeros((len(rows), width), np.float32)
    places = parallel.mine(np.arange(len(rows)))
    step = max(min(PREDICT_ROWS, PREDICT_EVENTS // sum(model.design.ks)), 1)
    for start in range(0, len(places), step):
        some = places[start : start + step]
        batch, order = batch_of(data, rows[some], model.design.ks, model.known.device)
        with faster(model):
            found[some[order]] = of(batch).float().cpu().numpy()
    return parallel.together(found, model.known.device)


def faster(model: Ranker) -> torch.autocast:
    """Products in bfloat16 on a GPU that is fast at them; weights, sums of gradients and losses stay float32."""
    kind = model.known.device.type
    return torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda" and fast_bfloat16())


def split_by_time(data: Samples, share: float) -> tuple[Int64s, Int64s]:
    """The earlier rows and the latest `share` of them, whatever order they come in."""
    order = np.lexsort((data.target, data.groups, data.ts))
    at = len(order) - int(len(order) * share)
    return order[:at], order[at:]


def loss_of(logits: Tensor, labels: Tensor, counts: Tensor | None = None) -> Tensor:
    """Sum over tasks of the mean cross-entropy of known (not NaN) labels; both are [batch, tasks].

    counts  [tasks] known labels of the whole batch, where this is a part of one
    """
    known = ~labels.isnan()
    losses = F.binary_cross_entropy_with_logits(logits, labels.nan_to_num(), reduction="none")
    return ((losses * known).sum(dim=0) / (known.sum(dim=0) if counts is None else counts).clamp(min=1)).sum()


def optimizers_of(model: Ranker, lr: float) -> list[torch.optim.Optimizer]:
    """Adam, which of the tables of the catalogue updates only the rows that a batch read: a step's cost is flat."""
    tables = model.tables()
    own = {id(table) for table in tables}
    rest = [weights for weights in model.parameters() if id(weights) not in own]
    return [torch.optim.SparseAdam(tables, lr=lr), torch.optim.AdamW(rest, lr=lr, weight_decay=0.0)]


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
    model.train()
    device = model.known.device
    order = train[np.random.default_rng([seed, epoch]).permutation(len(train))]
    dropout = np.random.default_rng([seed, epoch, 1 + parallel.rank()])
    torch.manual_seed(int(dropout.integers(1 << 62)))
    batches = math.ceil(len(order) / batch_size)
    total = torch.zeros(1, device=device)
    for number in range(batches):
        whole = order[number * batch_size : (number + 1) * batch_size]
        counts = torch.from_numpy(np.isfinite(data.labels[whole]).sum(axis=0)).to(device)
        model.zero_grad()
        if len(some := parallel.mine(whole)):
            batch, placed = batch_of(data, some, model.design.ks, device)
            labels = torch.as_tensor(data.labels[some[placed]], dtype=torch.float32, device=device)
            with faster(model):
                loss = loss_of(model(batch), labels, counts)
            torch.autograd.backward(loss)
            total += loss.detach()
        parallel.sum_gradients(model)
        for optimizer in optimizers:
            optimizer.step()
        if progress is not None:
            progress((epoch - 1) * batches + number + 1, epochs * batches)
    return float(parallel.together(total.cpu().numpy(), device)[0]) / batches


def _judge(model: Ranker, data: Samples, valid: Int64s, epoch: int, train_loss: float, course: Course) -> None:
    """Add the epoch to the course, and its weights if it is the best so far."""
    predicted = _each(model, data, valid, len(model.tasks), lambda batch: model(batch).sigmoid())
    if not ((math.isfinite(train_loss) or not epoch) and np.isfinite(predicted).all()):
        raise FloatingPointError(f"epoch {epoch} gives no numbers")
    labels, groups = data.labels[valid], data.groups[valid]

    def mean(metric: metrics.Metric) -> float:
        tasks = zip(labels.T, predicted.T, strict=True)
        values = np.array([metric(known, scores, groups) for known, scores in tasks])
        return float(np.nanmean(values)) if np.isfinite(values).any() else math.nan

    found = Epoch(epoch, train_loss, mean(metrics.log_loss), mean(metrics.auc), mean(metrics.gauc))
    course.curve.append(found)
    if not found.worth <= course.best:  # better, or not defined
        course.best, course.best_epoch = found.worth, epoch
        course.weights = {name: value.clone() for name, value in model.state_dict().items()}
