"""What a ranker predicts of rows, some at a time: probabilities, and the weights of events."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.precision import mixed_precision
from models.ranker.batch import Batch, build_batch
from models.ranker.histories import Int64s
from models.ranker.model import Ranker
from models.ranker.samples import Samples
from models.ranker.training_rows import TrainingRows
from models.training import parallel

PREDICT_ROWS, PREDICT_EVENTS = 4096, 1 << 21  # at a time


def predict(model: Ranker, data: Samples) -> NDArray[np.float32]:
    """Probabilities [rows, tasks] float32 of every task. Labels are ignored."""
    return predict_rows(model, _all_rows(data), np.arange(len(data)))


def predict_attention(model: Ranker, data: Samples) -> NDArray[np.float32]:
    """The attention weight of each event [rows, k] float32, mean over the heads, 0 for padding."""
    return _apply(model, _all_rows(data), np.arange(len(data)), data.topk.shape[1], model.attention_weights)


def _all_rows(data: Samples) -> TrainingRows:
    no_rows = np.zeros(0, np.int64)
    return TrainingRows(data, no_rows, no_rows)


def predict_rows(model: Ranker, rows: TrainingRows, numbers: Int64s) -> NDArray[np.float32]:
    """Probabilities [numbers, tasks] float32 of the rows with these numbers. Workers share the rows."""
    return _apply(model, rows, numbers, len(model.tasks), lambda batch: model(batch).sigmoid())


@torch.no_grad()
def _apply(
    model: Ranker, rows: TrainingRows, numbers: Int64s, width: int, function: Callable[[Batch], Tensor]
) -> NDArray[np.float32]:
    """The results [numbers, width] float32 of a function of batches. Workers share the rows."""
    model.eval()
    results = np.zeros((len(numbers), width), np.float32)
    positions, places = rows.select_own(numbers)
    step = max(min(PREDICT_ROWS, PREDICT_EVENTS // sum(model.design.ks)), 1)
    for start in range(0, len(places), step):
        part = slice(start, start + step)
        batch, order = build_batch(rows.data, places[part], model.design.ks, model.known.device)
        with mixed_precision(model.known.device):
            results[positions[part][order]] = function(batch).float().cpu().numpy()
    return parallel.sum_over_workers(results, model.known.device)
