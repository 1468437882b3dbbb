"""The twin number that tells the items of one semantic ID apart."""

import numpy as np

from models.quantizers.twins import Int64s, number_twins

A, B, C = [1, 2, 3], [1, 2, 4], [9, 9, 9]
NONE = np.zeros((0, 3), np.int64)


def codes(*ids: list[int]) -> Int64s:
    return np.array(ids, np.int64).reshape(-1, 3)


def test_items_of_one_id_are_counted_in_the_order_they_come() -> None:
    assert number_twins(codes(A, B, A, C, A), NONE, NONE[:, 0]).tolist() == [0, 0, 1, 0, 2]


def test_new_items_count_on_from_the_highest_number_that_was_ever_given() -> None:
    twins = number_twins(codes(A, C, B, A), codes(A, A, B), np.array([0, 4, 0]))
    assert twins.tolist() == [5, 0, 1, 6]


def test_no_two_items_ever_share_id_and_number() -> None:
    rng = np.random.default_rng(0)
    known, twins = NONE, NONE[:, 0]
    for _ in range(20):
        new = rng.integers(0, 3, (int(rng.integers(0, 30)), 3))
        new_twins = number_twins(new, known, twins)
        known, twins = np.concatenate([known, new]), np.concatenate([twins, new_twins])
    unique_ids = np.column_stack([known, twins])
    assert len(np.unique(unique_ids, axis=0)) == len(unique_ids)


def test_without_new_items_no_number_is_given() -> None:
    assert number_twins(NONE, codes(A), np.array([0])).tolist() == []
