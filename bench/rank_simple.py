"""What needs no ranker: rates alone and boosted trees, the baselines of bench/rank.py."""

import numpy as np
from numpy.typing import NDArray
from rank_logs import Log
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from models.ranker import Samples

Floats = NDArray[np.floating]
SIMPLE = ("item_mean", "user_item_rates", "boosted_trees")


def simple(name: str, log: Log, searched: Samples | None, seed: int) -> Floats:
    """Scores of all rows; searched: with the events most like each row's item, for boosted_trees."""
    if name == "item_mean":
        return 1 / (1 + np.exp(-log.rates[:, 2]))
    if name == "user_item_rates":
        found: Floats = LogisticRegression().fit(log.rates[log.part == 0], log.label[log.part == 0]).predict_proba(
            log.rates)[:, 1]  # fmt: skip
        return found
    assert searched is not None
    return _boosted_trees(log, searched, seed)


def _boosted_trees(log: Log, rows: Samples, seed: int) -> Floats:
    """On rates, history length and the similarities that the search finds."""
    some = np.maximum((rows.topk >= 0).sum(axis=1), 1)
    parts = [rows.sims[:, :1], rows.sims[:, :5].mean(1, keepdims=True), (rows.sims.sum(1) / some)[:, None]]
    x = np.concatenate([log.rates, np.log1p(rows.history_length)[:, None], *parts], axis=1)
    known = log.part == 0
    model = HistGradientBoostingClassifier(random_state=seed, learning_rate=0.05, max_leaf_nodes=15)
    found: Floats = model.fit(x[known], log.label[known]).predict_proba(x)[:, 1]
    return found
