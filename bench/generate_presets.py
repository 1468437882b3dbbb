"""What bench/generate.py measures: each preset learns from a log and then scores all items for a user."""

from collections.abc import Callable

import numpy as np
from generate_log import Floats, SequenceLog

from models.generator.graph import ItemGraph
from models.ranker.histories import Int64s

Scores = Callable[[Int64s, Int64s], Floats]  # users and ends of their histories [rows] -> scores [rows, items]
Learn = Callable[[SequenceLog, int], Scores]  # from a log, of which test questions are not looked at, and a seed


def learn_popular(log: SequenceLog, seed: int) -> Scores:
    """The number of events of each item in training."""
    users = np.repeat(np.arange(len(log.train_ends)), np.diff(log.histories.offsets))
    items = log.histories.items[np.arange(len(users)) < log.train_ends[users]]
    counts = np.bincount(items, minlength=log.n_items).astype(np.float32)
    return lambda users, ends: np.tile(counts, (len(users), 1))


def learn_graph(log: SequenceLog, seed: int) -> Scores:
    graph = ItemGraph.from_histories(log.histories, log.train_ends, n_items=log.n_items)
    return lambda users, ends: graph.score_items(log.histories, users, ends)


def learn_graph_text(log: SequenceLog, seed: int) -> Scores:
    vectors = log.catalogue.vectors
    graph = ItemGraph.from_histories(log.histories, log.train_ends, n_items=log.n_items, vectors=vectors)
    return lambda users, ends: graph.score_items(log.histories, users, ends)


PRESETS: dict[str, Learn] = {"popular": learn_popular, "graph": learn_graph, "graph_text": learn_graph_text}
