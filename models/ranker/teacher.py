"""Boosted trees as a teacher: a ranker learns from what happened, and from what trees predict (distillation).

Trees on a dozen rates predict the next days as well as a network that also knows IDs and histories, and they err on
other rows. A network that is asked for half of each keeps what both know, and only the network is served.
Source: Hinton, Vinyals and Dean (arXiv 1503.02531).
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.ranker.histories import Int64s
from models.ranker.samples import Samples

FIT_ROWS = 1 << 21  # at most so many rows fit the trees, to limit memory
ROWS_AT_ONCE = 1 << 18
MIN_LABELS = 100  # of each class; with fewer, a task has no teacher
TREES, LEAVES, LEARNING_RATE = 200, 15, 0.05


def add_targets(data: Samples, train: Int64s, share: float, seed: int) -> Samples:
    """The same rows, with targets for the training rows: of each task, `share` of the trees' probability and the rest
    of the label.

    Trees see the running rates, the similar rates and the length of the history.

    train    rows that are trained on; the trees see no others
    raises   ValueError if the rows have no running rates
    """
    if data.rates is None:
        raise ValueError("the teacher reads running rates: add rates to the extras of the design")
    targets = np.array(data.labels, np.float32)
    drawn = train if len(train) <= FIT_ROWS else np.random.default_rng(seed).choice(train, FIT_ROWS, replace=False)
    inputs = _build_inputs(data, drawn)
    for task, labels in enumerate(data.labels[drawn].T):
        known = np.isfinite(labels)
        if min((labels[known] == value).sum() for value in (0, 1)) >= MIN_LABELS:
            _mix(targets[:, task], data, train, inputs[known], labels[known], share, seed)
    return replace(data, targets=targets)


def _mix(
    targets: NDArray[np.float32], data: Samples, train: Int64s, inputs: NDArray[np.float32],
    labels: NDArray[np.floating], share: float, seed: int,
) -> None:  # fmt: skip
    """Mix what trees predict for the training rows into the targets [rows] of one task, in place."""
    from sklearn.ensemble import HistGradientBoostingClassifier  # takes a second to import

    trees = HistGradientBoostingClassifier(
        max_iter=TREES, max_leaf_nodes=LEAVES, learning_rate=LEARNING_RATE, early_stopping=True, random_state=seed
    ).fit(inputs, labels > 0.5)
    for start in range(0, len(train), ROWS_AT_ONCE):
        rows = train[start : start + ROWS_AT_ONCE]
        predicted = trees.predict_proba(_build_inputs(data, rows))[:, 1]
        targets[rows] = (1 - share) * targets[rows] + share * predicted  # an unknown label, NaN, stays unknown


def _build_inputs(data: Samples, rows: Int64s) -> NDArray[np.float32]:
    """What the trees see of the rows [rows, inputs]."""
    columns = [values[rows] for values in (data.rates, data.similar_rates) if values is not None]
    return np.concatenate([*columns, np.log1p(data.history_length[rows])[:, None]], axis=1).astype(np.float32)
