"""The item graph: what is counted, what a walk finds, and that it grows with the events."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from models.generator import graph
from models.generator.graph import ItemGraph
from models.generator.pair_counts import WINDOW, count_pairs
from models.ranker.histories import Histories

ITEMS = 40


def build_histories(*items: list[int]) -> Histories:
    users = np.repeat(np.arange(len(items)), [len(history) for history in items])
    events = np.concatenate([np.array(history, np.int64) for history in items])
    return Histories.from_arrays(users, events, np.arange(len(events)), len(items))


def make_histories(users: int = 60, seed: int = 0) -> Histories:
    rng = np.random.default_rng(seed)
    return build_histories(*(rng.integers(0, ITEMS, rng.integers(0, 30)).tolist() for _ in range(users)))


def build_graph(histories: Histories, n_items: int = ITEMS, vectors: Any = None) -> ItemGraph:
    return ItemGraph.from_histories(histories, histories.offsets[1:], n_items=n_items, vectors=vectors)


def count_by_hand(histories: Histories, ends: graph.Int64s, window: int) -> dict[tuple[int, int], float]:
    weights: dict[tuple[int, int], float] = {}
    for begin, end in zip(histories.offsets, ends, strict=False):
        items = histories.items[begin:end].tolist()
        for first, before in enumerate(items):
            for distance, after in enumerate(items[first + 1 : first + 1 + window], 1):
                weights[before, after] = weights.get((before, after), 0) + 1 / distance
    return dict(sorted(weights.items()))


def score_by_hand(histories: Histories, ends: graph.Int64s, vectors: graph.Floats) -> NDArray[np.float64]:
    """The formula of the graph with dense matrices and loops."""
    pairs = np.zeros((ITEMS, ITEMS))
    for (before, after), weight in count_by_hand(histories, ends, 8).items():
        pairs[before, after] += weight
        pairs[after, before] += 0.7 * weight
    rows, columns = pairs.sum(1, keepdims=True), pairs.sum(0, keepdims=True)
    steps = pairs / np.where(rows, rows, 1) ** 0.5 / np.where(columns, columns, 1) ** 0.3
    starts = np.zeros((len(ends), ITEMS))
    for user, (begin, end) in enumerate(zip(histories.offsets, ends, strict=False)):
        for place, item in enumerate(histories.items[begin:end][::-1][:10]):
            starts[user, item] += 0.6**place
    return starts @ steps + 0.2 * starts @ steps @ steps + 0.15 * starts @ vectors @ vectors.T


def test_pairs_are_at_most_a_window_apart_and_inside_the_known_history() -> None:
    histories = make_histories()
    ends = np.maximum(histories.offsets[1:] - 2, histories.offsets[:-1])
    before, after, weight = count_pairs(histories, ends, window=3)
    expected = count_by_hand(histories, ends, 3)
    assert list(zip(before.tolist(), after.tolist(), strict=True)) == list(expected)
    np.testing.assert_allclose(weight, list(expected.values()))


def test_the_pairs_of_days_add_up_to_those_of_the_whole_history(monkeypatch: pytest.MonkeyPatch) -> None:
    histories = make_histories()
    days = [histories.offsets[:-1] + np.diff(histories.offsets) * share // 4 for share in range(5)]
    parts = [count_pairs(histories, end, since=start) for start, end in pairwise(days)]
    daily = ItemGraph.from_pairs(*(np.concatenate(column) for column in zip(*parts, strict=True)), n_items=ITEMS)
    monkeypatch.setattr("models.ranker.sorting.EVENTS_AT_ONCE", 100)  # also, users are counted part by part
    np.testing.assert_allclose(daily.steps.toarray(), build_graph(histories).steps.toarray(), rtol=1e-6)


def test_the_pairs_of_a_day_reach_back_over_events_that_were_taken_back() -> None:
    """User 0 takes 20 events back on the second day; the days together have the pairs of what is left."""
    users, kinds = np.zeros(64, np.int64), np.ones(64, np.int64)
    items = np.concatenate([np.arange(40), np.arange(10, 30), np.arange(100, 104)])
    kinds[40:60] = ~1
    histories = Histories.from_arrays(users, items, np.arange(64), 1, kinds=kinds)
    taken = np.arange(10, 30)
    histories = histories.take_back(np.zeros(20, np.int64), taken, taken, np.arange(40, 60), kind=1)
    left = [*range(10), *range(30, 40), *range(100, 104)]
    end, since = histories.offsets[1:], np.array([60])
    before, after, weight = count_pairs(histories, end, window=12, since=since)
    expected = {
        (left[first], left[second]): 1 / (second - first)
        for second in range(20, 24)
        for first in range(second - 12, second)
    }
    counted = dict(zip(zip(before.tolist(), after.tolist(), strict=True), weight.tolist(), strict=True))
    assert counted == pytest.approx(expected)


def test_the_pairs_of_a_day_cost_what_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 60 long histories one goes on: only its latest events are read."""
    histories = build_histories(*([0, 1, 2, 3] * 100 for _ in range(60)))
    ends = histories.offsets[1:]
    since = ends - (np.arange(60) == 7)
    read: list[int] = []

    def is_hidden(self: Histories, events: graph.Int64s, ends: graph.Int64s) -> NDArray[np.bool_]:
        read.append(len(events))
        return np.zeros(len(events), bool)

    monkeypatch.setattr(Histories, "is_hidden", is_hidden)
    assert len(count_pairs(histories, ends, since=since).weight)
    assert sum(read) == 1 + WINDOW


def test_a_long_run_of_events_that_were_taken_back_is_passed_in_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    histories = build_histories([*range(20), *([30] * 3000), 1])
    hidden_by = np.full(3021, 3021)
    hidden_by[20:3020] = 3020
    histories = Histories(histories.offsets, histories.items, histories.ts, hidden_by=hidden_by)
    looks: list[int] = []
    is_hidden = Histories.is_hidden

    def look(self: Histories, events: graph.Int64s, ends: graph.Int64s) -> NDArray[np.bool_]:
        looks.append(len(events))
        return is_hidden(self, events, ends)

    monkeypatch.setattr(Histories, "is_hidden", look)
    before, after, _ = count_pairs(histories, histories.offsets[1:], since=np.array([3020]))
    assert before.tolist() == list(range(12, 20))
    assert set(after.tolist()) == {1}
    assert len(looks) < 15


@pytest.mark.parametrize("form", [np.array, sparse.csr_matrix])
def test_scores_are_those_of_the_formula(form: Callable[[graph.Floats], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "SCORES_AT_ONCE", 7 * ITEMS)  # in parts of seven users
    histories, rng = make_histories(), np.random.default_rng(1)
    vectors = rng.normal(size=(ITEMS, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    item_graph = build_graph(histories, vectors=form(vectors))
    users, ends = np.arange(60), histories.offsets[1:]
    expected = score_by_hand(histories, ends, vectors)
    np.testing.assert_allclose(item_graph.score_items(histories, users, ends), expected, rtol=1e-4, atol=1e-5)
    items = rng.integers(0, ITEMS, (60, 4))
    scores = item_graph.score_candidates(histories, users, ends, items)
    np.testing.assert_allclose(scores, np.take_along_axis(expected, items, axis=1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("groups_per_place", [1, 2, 20])
@pytest.mark.parametrize("has_vectors", [False, True])
def test_the_best_items_are_those_of_all_scores_without_seen_and_excluded_ones(
    has_vectors: bool, groups_per_place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    row_size = ITEMS if has_vectors else graph.LAST * (graph.STRONGEST + 1)
    monkeypatch.setattr(graph, "SCORES_AT_ONCE", 7 * row_size)  # in parts of seven users
    monkeypatch.setattr(graph, "GROUPS_PER_PLACE", groups_per_place)
    histories = make_histories()
    item_graph = build_graph(histories, vectors=np.eye(ITEMS, dtype=np.float32) if has_vectors else None)
    users = np.random.default_rng(2).permutation(60)
    ends = histories.offsets[users + 1] - np.minimum(np.diff(histories.offsets)[users], 1)
    excluded = np.arange(ITEMS) % 5 == 0
    items, scores = item_graph.top_items(histories, users, ends, 6, excluded=excluded)
    expected = item_graph.score_items(histories, users, ends)
    expected[:, excluded] = 0
    for row, (user, end) in enumerate(zip(users, ends, strict=True)):
        expected[row, histories.items[histories.offsets[user] : end]] = 0
        order = np.lexsort((np.arange(ITEMS), -expected[row]))[:6]
        order = order[expected[row, order] > 0]
        assert items[row].tolist() == [*order, *[-1] * (6 - len(order))]
        np.testing.assert_allclose(scores[row, : len(order)], expected[row, order], rtol=1e-5)


def test_a_user_without_history_and_items_out_of_reach_get_nothing() -> None:
    histories = build_histories([0, 1, 2], [], [4])
    item_graph = build_graph(histories, n_items=6, vectors=np.zeros((6, 2), np.float32))
    items, scores = item_graph.top_items(histories, np.arange(3), np.array([1, 3, 4]), 3)
    assert items.tolist() == [[1, 2, -1], [-1] * 3, [-1] * 3]
    assert np.isneginf(scores[items < 0]).all()


@pytest.mark.parametrize("groups_per_place", [1, 20])
def test_ties_go_to_the_smaller_index(groups_per_place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "GROUPS_PER_PLACE", groups_per_place)
    histories = build_histories([0, 3], [0, 2], [0, 1], [0])
    items, _ = build_graph(histories).top_items(histories, np.array([3]), histories.offsets[4:], 2)
    assert items.tolist() == [[1, 2]]


def test_an_event_that_is_taken_back_is_neither_counted_nor_walked_from_nor_seen() -> None:
    purchase, kinds = 0, np.array([0, 0, ~0, 0])
    histories = Histories.from_arrays(np.zeros(4, int), np.array([0, 1, 1, 2]), np.arange(4), 1, kinds=kinds)
    user, item, at, taken_back_at = np.array([[0], [1], [1], [2]])
    histories = histories.take_back(user, item, at, taken_back_at, purchase)
    before, after, weight = count_pairs(histories, histories.offsets[1:])
    assert (before.tolist(), after.tolist(), weight.tolist()) == ([0], [2], [1.0])
    other = build_graph(build_histories([0, 1, 2]), n_items=3)
    assert other.top_items(histories, np.array([0]), np.array([4]), 3)[0].tolist() == [[1, -1, -1]]
    assert other.top_items(histories, np.array([0]), np.array([2]), 3)[0].tolist() == [[2, -1, -1]]


def test_an_item_keeps_its_strongest_steps_only(monkeypatch: pytest.MonkeyPatch) -> None:
    histories = make_histories()
    all_steps = build_graph(histories).steps.toarray()
    monkeypatch.setattr(graph, "STRONGEST", 3)
    kept = build_graph(histories).steps.toarray()
    assert ((kept > 0).sum(axis=1) == 3).all()
    np.testing.assert_array_equal(np.sort(kept, axis=1)[:, -3:], np.sort(all_steps, axis=1)[:, -3:])


def test_a_log_without_events_makes_a_graph_that_finds_nothing() -> None:
    histories = build_histories([], [])
    items, _ = build_graph(histories).top_items(histories, np.arange(2), np.zeros(2, int), 3)
    assert (items == -1).all()


def test_an_unknown_item_or_too_few_vectors_are_refused() -> None:
    with pytest.raises(ValueError, match="exceed"):
        ItemGraph.from_pairs(np.array([0]), np.array([5]), np.ones(1), n_items=5)
    with pytest.raises(ValueError, match="3 vectors of 5 items"):
        ItemGraph.from_pairs(np.array([0]), np.array([1]), np.ones(1), n_items=5, vectors=np.eye(3, dtype=np.float32))
