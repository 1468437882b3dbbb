"""The validation rows of a training: they measure its epochs, and calibrate the model in the end."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit

from models import metrics
from models.ranker.epoch import Epoch
from models.ranker.head import EntireSpace
from models.ranker.model import Ranker
from models.ranker.prediction import predict_rows
from models.ranker.training_rows import TrainingRows
from models.training.checkpoint import TrainingState

PRIOR = 5.0  # pull towards no change, about that of 20 rows: few validation rows change little
SMALLEST = 1e-6  # probabilities are kept this far from 0 and 1


class Validation:
    """The rows that measure epochs, and their labels and users on all workers."""

    def __init__(self, rows: TrainingRows, device: torch.device) -> None:
        self.rows = rows
        self.labels, self.groups = (
            rows.gather(values, rows.valid, device) for values in (rows.data.labels, rows.data.groups)
        )

    def add_epoch(self, model: Ranker, epoch: int, train_loss: float, state: TrainingState[Epoch]) -> None:
        """Add the epoch to the curve, and keep its weights if it is the best so far."""
        predicted = predict_rows(model, self.rows, self.rows.valid)
        if not ((math.isfinite(train_loss) or not epoch) and np.isfinite(predicted).all()):
            raise FloatingPointError(f"epoch {epoch} gives NaN or infinity")
        lines = self._fit_lines(model, predicted)
        calibrated = expit(logit(np.clip(predicted, SMALLEST, 1 - SMALLEST)) * lines[:, 0] + lines[:, 1])

        def mean(metric: metrics.Metric, scores: NDArray[np.floating]) -> float:
            tasks = zip(self.labels.T, scores.T, strict=True)
            values = np.array([metric(labels, of_task, self.groups) for labels, of_task in tasks])
            return float(np.nanmean(values)) if np.isfinite(values).any() else math.nan

        loss, auc, gauc = (
            mean(metrics.log_loss, calibrated),
            mean(metrics.auc, predicted),
            mean(metrics.gauc, predicted),
        )
        state.add(Epoch(epoch, train_loss, loss, auc, gauc), model)

    def calibrate(self, model: Ranker) -> None:
        """Change the last layer so that the probabilities of each task fit the labels (Platt scaling).

        The order of rows stays. Training passes the same rows several times, which leaves probabilities too high or too
        low. The validation rows were not trained on. The heads `entire_space` stay as they are: there the logit of a
        purchase is no layer's output.
        """
        if not isinstance(model.head, EntireSpace):
            lines = self._fit_lines(model, predict_rows(model, self.rows, self.rows.valid))
            model.head.transform_logits(*torch.from_numpy(lines).float().T)

    def _fit_lines(self, model: Ranker, predicted: NDArray[np.float32]) -> NDArray[np.float64]:
        """The scale and shift [tasks, 2] of each task's logits that `calibrate` applies."""
        if isinstance(model.head, EntireSpace):
            return np.tile([1.0, 0.0], (predicted.shape[1], 1))
        return np.array([fit_line(scores, labels) for scores, labels in zip(predicted.T, self.labels.T, strict=True)])


def fit_line(probabilities: NDArray[np.floating], labels: NDArray[np.floating]) -> tuple[float, float]:
    """Scale and shift of the logits [rows] with which they predict the labels best (Platt 1999).

    The scale is above 0, so the order of rows stays. A label of NaN is unknown.
    """
    known = np.isfinite(labels)
    p, y = np.clip(probabilities[known].astype(np.float64), SMALLEST, 1 - SMALLEST), labels[known].astype(np.float64)
    if not 0 < y.sum() < len(y):
        return 1.0, 0.0
    x = np.stack([logit(p), np.ones(len(p))], axis=1)
    start = np.array([1.0, 0.0])

    def loss(line: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z, change = x @ line, line - start
        value = np.logaddexp(0, z).sum() - z @ y + PRIOR * change @ change / 2
        return float(value), x.T @ (expit(z) - y) + PRIOR * change

    line = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.1, 10), (None, None)]).x
    return float(line[0]), float(line[1])
