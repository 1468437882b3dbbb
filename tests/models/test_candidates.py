"""Candidates: pairs and neighbours of a user's last items, then popular items."""

import numpy as np
import torch

from models.candidates import find_neighbours, select_candidates
from models.ranker import Histories

VECTORS = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-0.6, -0.8], [0.0, 0.0]])  # item 4 has no vector


def candidates_of(count: int, exclude_seen: bool = True, history: tuple[int, ...] = (3, 0)) -> list[int]:
    histories = Histories.from_arrays(np.zeros(len(history), int), np.array(history), np.arange(len(history)), 1)
    pairs = (np.array([0, 0, 2]), np.array([2, 3, 1]))
    (candidates,) = select_candidates(
        histories, np.array([0]), neighbours=find_neighbours(VECTORS, 2), pairs=pairs, popular=np.array([4, 0]),
        triggers=1, count=count, exclude_seen=exclude_seen,
    )  # fmt: skip
    return [int(item) for item in candidates]


def test_an_item_is_not_its_own_neighbour_and_an_item_without_a_vector_is_no_neighbour() -> None:
    expected = [[1, 2, 3, -1], [0, 2, 3, -1], [1, 0, 3, -1], [0, 2, 1, -1], [-1] * 4]
    assert find_neighbours(VECTORS, 9).tolist() == expected
    assert find_neighbours(VECTORS[:1], 3).shape == (1, 0)


def test_candidates_come_from_pairs_then_neighbours_then_popular_items() -> None:
    # The last item is 0. Its pairs are 2 and 3, but 3 was seen. Then its neighbours, then the popular item 4.
    assert candidates_of(9) == [2, 1, 4]
    assert candidates_of(2) == [2, 1]
    assert candidates_of(9, exclude_seen=False) == [2, 3, 1, 4, 0]


def test_a_user_whose_last_item_has_no_vector_gets_popular_items() -> None:
    assert candidates_of(9, history=(4,)) == [0]
