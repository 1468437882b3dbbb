"""Ranks of targets among all items, and their metrics."""

import numpy as np
import pytest

from models.generator import ranks
from models.generator.ranks import ndcg_at, rank_targets, recall_at

NOTHING = np.zeros(0, np.int64)


def test_a_rank_counts_unseen_items_only_and_ties_count_against_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "TARGETS_AT_ONCE", 1)
    scores = np.array([[0.9, 0.5, 0.5, 0.1], [0.0, 0.0, 0.0, 0.0]])
    targets = np.array([0, 0, 1]), np.array([1, 3, 2])
    assert rank_targets(scores, targets, (NOTHING, NOTHING)).tolist() == [3, 4, 4]
    assert rank_targets(scores, targets, (np.array([0, 1]), np.array([0, 3]))).tolist() == [2, 3, 3]


def test_an_item_that_is_not_proposed_is_last() -> None:
    scores = np.array([[-np.inf, 3.0, -np.inf, -np.inf]])
    assert rank_targets(scores, (np.array([0]), np.array([0])), (NOTHING, NOTHING)).tolist() == [4]


def test_nan_and_targets_that_were_seen_are_refused() -> None:
    target = np.array([0]), np.array([1])
    with pytest.raises(ValueError, match="NaN"):
        rank_targets(np.array([[np.nan, 1.0]]), target, (NOTHING, NOTHING))
    with pytest.raises(ValueError, match="seen"):
        rank_targets(np.array([[0.0, 1.0]]), target, target)


def test_with_one_target_a_row_recall_is_the_hit_rate() -> None:
    assert recall_at(10, np.array([1, 10, 11, 50]), np.arange(4)) == 0.5
    assert ndcg_at(10, np.array([1, 3, 11]), np.arange(3)) == pytest.approx((1 + 1 / 2) / 3)


def test_with_several_targets_a_perfect_list_has_recall_and_ndcg_1() -> None:
    rank, row = np.array([1, 2, 3, 2, 1]), np.array([7, 7, 7, 9, 9])
    assert recall_at(2, rank, row) == ndcg_at(2, rank, row) == 1
    assert recall_at(1, rank, row) == 1
    assert recall_at(5, np.array([1, 6, 6, 1]), np.array([0, 0, 0, 1])) == pytest.approx((1 / 3 + 1) / 2)
    assert np.isnan(recall_at(5, NOTHING, NOTHING))
