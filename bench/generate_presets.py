"""What bench/generate.py measures: each preset learns from a log and then scores all items for a user."""

import numpy as np
from generate_log import KnownLog, Learn, Scores
from generate_models import MODELS, build_word_graph

from models.generator.graph import ItemGraph


def learn_popular(log: KnownLog, seed: int) -> Scores:
    """The number of events of each item in training."""
    counts = log.count_items().astype(np.float32)
    return lambda histories, users, ends: np.tile(counts, (len(users), 1))


def learn_graph(log: KnownLog, seed: int) -> Scores:
    return ItemGraph.from_histories(log.histories, log.train_ends, n_items=log.n_items).score_items


def learn_graph_text(log: KnownLog, seed: int) -> Scores:
    vectors = log.catalogue.vectors
    graph = ItemGraph.from_histories(log.histories, log.train_ends, n_items=log.n_items, vectors=vectors)
    return graph.score_items


def learn_graph_words(log: KnownLog, seed: int) -> Scores:
    return build_word_graph(log).score_items


UNTRAINED: dict[str, Learn] = {
    "popular": learn_popular, "graph": learn_graph, "graph_text": learn_graph_text, "graph_words": learn_graph_words
}  # fmt: skip
PRESETS = UNTRAINED | MODELS
USES_TEXT = {"lc_rec", *PRESETS} - {"popular", "graph", "graph_words", "sasrec"}
