"""What the ranker's training measures after each epoch."""

import math
from dataclasses import dataclass

from models.training import checkpoint


@dataclass(frozen=True)
class Epoch(checkpoint.Epoch):
    """One point of the training curve. Validation values are means over the tasks that have them, or NaN.

    valid_loss  log loss of calibrated probabilities: the model that it starts from is calibrated, too
    """

    valid_loss: float
    valid_auc: float
    valid_gauc: float

    @property
    def score(self) -> float:
        """The best epoch has the highest score: GAUC (AUC if no user has both classes) minus log loss.

        GAUC alone is noisy: it picks epochs whose probabilities are still far off (docs/results/rank.md).
        """
        return (self.valid_auc if math.isnan(self.valid_gauc) else self.valid_gauc) - self.valid_loss
