"""The best that any model could reach on a simulated day: the true probabilities against the drawn clicks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.metrics import auc, gauc
from models.simulator.world import Floats, Ints


@dataclass(frozen=True)
class Truth:
    """Of the impressions that landed on their day. NaN where only one class was drawn."""

    impressions: int
    clicks: int
    best_auc: float
    best_auc_without_position: float  # for models that do not read the position
    best_gauc: float  # of known users


def measure(user: Ints, clicked: NDArray[np.bool_], *, with_position: Floats, without_position: Floats) -> Truth:
    """All arguments [impressions]; user -1 is unknown. Scores need only be monotone in the probability."""
    known = user >= 0
    return Truth(
        impressions=len(clicked),
        clicks=int(clicked.sum()),
        best_auc=auc(clicked, with_position),
        best_auc_without_position=auc(clicked, without_position),
        best_gauc=gauc(clicked[known], with_position[known], user[known]),
    )
