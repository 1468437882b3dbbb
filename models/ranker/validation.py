"""The validation rows of a training: they measure its epochs, and calibrate the model in the end."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from models import metrics
from models.ranker.epoch import Epoch
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

        def mean(metric: metrics.Metric) -> float:
            tasks = zip(self.labels.T, predicted.T, strict=True)
            values = np.array([metric(labels, scores, self.groups) for labels, scores in tasks])
            return float(np.nanmean(values)) if np.isfinite(values).any() else math.nan

        point = Epoch(epoch, train_loss, mean(metrics.log_loss), mean(metrics.auc), mean(metrics.gauc))
        state.add(point, model)

    def calibrate(self, model: Ranker) -> None:
        """Change the last layer so that the probabilities of each task fit the labels (Platt scaling).

        The order of rows stays. Training leaves probabilities too high or too low, because it passes the same rows
        several times. These rows were not trained on.
        """
        predicted = predict_rows(model, self.rows, self.rows.valid).astype(np.float64)
        lines = [fit_line(scores, labels) for scores, labels in zip(predicted.T, self.labels.T, strict=True)]
        model.head.transform_logits(*torch.tensor(lines, dtype=torch.float32).T)


def fit_line(probabilities: NDArray[np.float64], labels: NDArray[np.floating]) -> tuple[float, float]:
    """Scale and shift of the logits [rows] with which they predict the labels best (Platt 1999).

    The scale is above 0, so the order of rows stays. A label of NaN is unknown.
    """
    known = np.isfinite(labels)
    p, y = np.clip(probabilities[known], SMALLEST, 1 - SMALLEST), labels[known].astype(np.float64)
    if not 0 < y.sum() < len(y):
        return 1.0, 0.0
    x = np.stack([np.log(p / (1 - p)), np.ones(len(p))], axis=1)
    start = np.array([1.0, 0.0])

    def loss(line: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z, change = x @ line, line - start
        value = np.logaddexp(0, z).sum() - z @ y + PRIOR * change @ change / 2
        return float(value), x.T @ (expit(z) - y) + PRIOR * change

    line = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.1, 10), (None, None)]).x
    return float(line[0]), float(line[1])
