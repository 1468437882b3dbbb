"""The best metrics that any model could reach on a simulated day: the true click probabilities rank the clicks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.metrics import auc, gauc
from models.simulator.world import Floats, Int32s


@dataclass(frozen=True)
class Truth:
    """Metrics over the impressions that landed on their own day; NaN if no impression or every one was clicked."""

    impressions: int
    clicks: int
    best_auc: float
    best_auc_without_position: float  # for models that do not use the position
    best_gauc: float  # over known users


def measure_truth(
    user: Int32s, clicked: NDArray[np.bool_], *, with_position: Floats, without_position: Floats
) -> Truth:
    """Measure how well two scores rank the clicks.

    user                             [impressions]; -1: unknown
    with_position, without_position  [impressions]; any score that grows with the true probability
    """
    is_known = user >= 0
    return Truth(
        impressions=len(clicked),
        clicks=int(clicked.sum()),
        best_auc=auc(clicked, with_position),
        best_auc_without_position=auc(clicked, without_position),
        best_gauc=gauc(clicked[is_known], with_position[is_known], user[is_known]),
    )
