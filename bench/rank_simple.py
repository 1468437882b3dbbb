"""Baselines of bench/rank.py that need no ranker: rates alone, and boosted trees."""

import numpy as np
from numpy.typing import NDArray
from rank_logs import LabelledLog
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from models.ranker import Samples

Floats = NDArray[np.floating]
SIMPLE = ("item_mean", "user_item_rates", "boosted_trees", "boosted_trees_similar")


def score_simple(name: str, log: LabelledLog, samples: Samples | None, seed: int) -> Floats:
    """Score all rows with the baseline `name`.

    samples  each row with the events most similar to its item, and for boosted_trees_similar with similar rates; only
             trees need them
    """
    if name == "item_mean":
        return 1 / (1 + np.exp(-log.rates[:, 2]))
    if name == "user_item_rates":
        scores: Floats = LogisticRegression().fit(log.rates[log.part == 0], log.label[log.part == 0]).predict_proba(
            log.rates)[:, 1]  # fmt: skip
        return scores
    assert samples is not None
    return _score_boosted_trees(log, samples, seed)


def _score_boosted_trees(log: LabelledLog, rows: Samples, seed: int) -> Floats:
    """Boosted trees on rates, history length and the similarities of the events that the search chose."""
    event_count = np.maximum((rows.topk >= 0).sum(axis=1), 1)
    parts = [rows.sims[:, :1], rows.sims[:, :5].mean(1, keepdims=True), (rows.sims.sum(1) / event_count)[:, None]]
    parts += [] if rows.similar_rates is None else [rows.similar_rates]
    x = np.concatenate([log.rates, np.log1p(rows.history_length)[:, None], *parts], axis=1)
    is_train = log.part == 0
    model = HistGradientBoostingClassifier(random_state=seed, learning_rate=0.05, max_leaf_nodes=15)
    scores: Floats = model.fit(x[is_train], log.label[is_train]).predict_proba(x)[:, 1]
    return scores
