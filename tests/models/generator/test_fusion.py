"""The fused list of the generator and the item graph."""

import numpy as np
import pytest
import torch

from models.generator import PRESETS, build_trie, fusion, seen_items
from models.generator.fusion import Fusion, train_network
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


def test_the_network_reads_what_the_sources_say_of_each_candidate() -> None:
    histories, users, learned = make_histories(), np.arange(30), learn_fusion(epochs=1)
    ends = ends_before_last(histories)[users]
    candidates, features = learned.describe(histories, users, ends)
    by_model = learned.model.score_items(learned.model.encode(histories, users, ends)).numpy()
    walk = learned.walks.score_items(histories, users, ends)
    likeness = np.maximum(learned.contents.score_items(histories, users, ends) - walk, 0)
    popularity = np.broadcast_to(np.log1p(learned.counts), walk.shape)
    for row, items in enumerate(candidates):
        places, items = np.flatnonzero(items >= 0), items[items >= 0]
        scores = [score[row, items] for score in (by_model, walk, likeness, popularity)]
        centred = (scores[0] - scores[0].mean()) / scores[0].std()
        ranks = [(score[None] > score[:, None] + 1e-7).sum(axis=1) + 1 for score in scores]
        expected = [scores[0], centred, np.sqrt(scores[1]), np.sqrt(scores[2]), scores[3]]
        read = features[row, places].numpy()
        np.testing.assert_allclose(read[:, :5], np.stack(expected, axis=1), rtol=1e-3, atol=2e-3)
        np.testing.assert_allclose(1 / read[:, 5] - 10, ranks[0], atol=1e-3)
        np.testing.assert_allclose(1 / read[:, 8] - 10, ranks[3], atol=1e-3)
    assert (features[torch.from_numpy(candidates < 0)] == 0).all()


def test_next_items_that_no_source_finds_are_refused() -> None:
    learned, histories = learn_fusion(epochs=1), make_histories()
    users, ends = np.arange(3), ends_before_last(histories)[:3]
    sources = learned.model, learned.trie, learned.contents, learned.counts
    with pytest.raises(ValueError, match="no source found any of the next items"):
        Fusion.learn(*sources, histories, users, ends, np.full(3, ITEMS))


def test_the_most_popular_unseen_items_are_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fusion, "FOUND", 3)
    counts, seen = np.array([5, 1, 9, 7, 0, 9]), np.array([2, 2, 4, 0, 1, 2, 3, 5])
    popular = fusion.list_popular(counts, np.array([0, 3, 3, 8]), seen)
    assert popular.tolist() == [[5, 3, 0], [2, 5, 3], [4, -1, -1]]


def test_the_network_learns_which_features_say_more_and_is_the_same_each_time() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2000, 20, 3, generator=generator) * torch.tensor([1.0, 1.0, 100.0])
    targets = (2 * features[:, :, 0].abs() + features[:, :, 1] * 0.5).argmax(dim=1)  # not linear
    is_candidate = torch.ones(2000, 20, dtype=torch.bool)
    networks = [train_network(features[:1500], is_candidate[:1500], targets[:1500], seed=0) for _ in range(2)]
    best = [network(features[1500:]).argmax(dim=1) for network in networks]
    assert (best[0] == targets[1500:]).float().mean() > 0.8
    assert torch.equal(*best)
