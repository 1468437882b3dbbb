"""The token that separates items of one semantic ID."""

import numpy as np

from models.quantizers.unique import Ints, next_tokens

A, B, C = [1, 2, 3], [1, 2, 4], [9, 9, 9]
NONE = np.zeros((0, 3), np.int64)


def codes(*ids: list[int]) -> Ints:
    return np.array(ids, np.int64).reshape(-1, 3)


def test_items_of_one_id_are_counted_in_the_order_they_come() -> None:
    assert next_tokens(codes(A, B, A, C, A), NONE, NONE[:, 0]).tolist() == [0, 0, 1, 0, 2]


def test_new_items_go_on_behind_the_highest_token_that_was_ever_given() -> None:
    found = next_tokens(codes(A, C, B, A), codes(A, A, B), np.array([0, 4, 0]))
    assert found.tolist() == [5, 0, 1, 6]


def test_no_two_items_ever_share_id_and_token() -> None:
    draw = np.random.default_rng(0)
    known, tokens = NONE, NONE[:, 0]
    for _ in range(20):
        new = draw.integers(0, 3, (int(draw.integers(0, 30)), 3))
        given = next_tokens(new, known, tokens)
        known, tokens = np.concatenate([known, new]), np.concatenate([tokens, given])
    whole = np.column_stack([known, tokens])
    assert len(np.unique(whole, axis=0)) == len(whole)


def test_nothing_new_needs_no_token() -> None:
    assert next_tokens(NONE, codes(A), np.array([0])).tolist() == []
