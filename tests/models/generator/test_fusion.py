"""The fused list of the generator and the item graph."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.generator import PRESETS, build_trie, fusion, seen_items
from models.generator.fusion import Fusion, learn_weights
from models.generator.graph import ItemGraph
from models.generator.words import Words
from tests.models.generator.toy import (
    ITEMS,
    build_generator,
    ends_before_last,
    make_histories,
    make_texts,
    shrink,
    train,
)


def learn_fusion(epochs: int) -> Fusion:
    model, histories = build_generator(shrink(PRESETS["sidereal"])), make_histories()
    train(model, histories, epochs=epochs)
    users, ends = np.arange(200), ends_before_last(histories)
    vectors = Words.read(make_texts()).tf_idf()
    graph = ItemGraph.from_histories(histories, ends, n_items=ITEMS, vectors=vectors)
    targets = histories.items[ends[users]].astype(np.int64)
    counts = np.bincount(histories.items, minlength=ITEMS)
    return Fusion.learn(model, build_trie(model), graph, counts, histories, users, ends[users], targets)


def test_a_fused_list_has_each_unseen_candidate_once_and_the_right_item_first() -> None:
    histories, users, learned = make_histories(), np.arange(200, 240), learn_fusion(epochs=6)
    ends = ends_before_last(histories)[users]
    items, scores = learned.top_items(histories, users, ends, ITEMS)
    assert (items[:, 0] == histories.items[ends]).mean() > 0.9
    assert (scores[:, 1:] <= scores[:, :-1]).all()
    offsets, seen = seen_items(histories, users, ends)
    for row, row_items in enumerate(items):
        row_items = row_items[row_items >= 0]
        unseen = np.setdiff1d(np.arange(ITEMS), seen[offsets[row] : offsets[row + 1]])
        assert sorted(row_items) == unseen.tolist()  # the beam is as wide as the catalogue


def test_the_scores_are_the_weighted_features_of_the_sources() -> None:
    histories, users = make_histories(), np.arange(30)
    learned = replace(learn_fusion(epochs=1), weights=torch.tensor([0.5, 2.0, 3.0, 0.25]))
    ends = ends_before_last(histories)[users]
    items, scores = learned.top_items(histories, users, ends, 5)
    by_model = learned.model.score_items(learned.model.encode(histories, users, ends)).numpy()
    walk = learned.walks.score_items(histories, users, ends)
    likeness = np.maximum(learned.contents.score_items(histories, users, ends) - walk, 0)
    popularity = 0.25 * np.log1p(learned.counts)
    expected = 0.5 * by_model + 2 * np.sqrt(walk) + 3 * np.sqrt(likeness) + popularity
    expected = np.take_along_axis(expected, items, axis=1)
    np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-4)


def test_the_most_popular_unseen_items_are_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fusion, "FOUND", 3)
    counts, seen = np.array([5, 1, 9, 7, 0, 9]), np.array([2, 2, 4, 0, 1, 2, 3, 5])
    popular = fusion.list_popular(counts, np.array([0, 3, 3, 8]), seen)
    assert popular.tolist() == [[5, 3, 0], [2, 5, 3], [4, -1, -1]]


def test_features_that_say_more_weigh_more() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(500, 20, 3, generator=generator)
    targets = (2 * features[:, :, 0] + features[:, :, 1] * 0.5).argmax(dim=1)
    is_candidate = torch.ones(500, 20, dtype=torch.bool)
    strong, weak, noise = learn_weights(features * torch.tensor([1.0, 1.0, 100.0]), is_candidate, targets).tolist()
    assert strong > 2 * weak > 0
    assert abs(noise * 100) < 0.2 * weak
