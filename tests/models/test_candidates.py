"""What is worth ranking: neighbours and pairs of what a user did last, then what is popular."""

import numpy as np
import torch

from models.candidates import candidates, neighbours
from models.ranker import Histories

VECTORS = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-0.6, -0.8], [0.0, 0.0]])  # item 4 has none


def pool(count: int, exclude_seen: bool = True, did: tuple[int, ...] = (3, 0)) -> list[int]:
    histories = Histories.from_arrays(np.zeros(len(did), int), np.array(did), np.arange(len(did)), 1)
    pairs = (np.array([0, 0, 2]), np.array([2, 3, 1]))
    (found,) = candidates(
        histories, np.array([0]), neighbours=neighbours(VECTORS, 2), pairs=pairs, popular=np.array([4, 0]),
        triggers=1, count=count, exclude_seen=exclude_seen,
    )  # fmt: skip
    return [int(item) for item in found]


def test_an_item_is_not_its_own_neighbour_and_one_without_a_vector_is_nobodys() -> None:
    assert neighbours(VECTORS, 9).tolist() == [[1, 2, 3, -1], [0, 2, 3, -1], [1, 0, 3, -1], [0, 2, 1, -1], [-1] * 4]
    assert neighbours(VECTORS[:1], 3).shape == (1, 0)


def test_candidates_come_from_pairs_then_neighbours_then_what_is_popular() -> None:
    assert pool(9) == [2, 1, 4]  # of the last item alone, 0: its pairs 2 and 3, of which 3 was seen; its neighbours; 4
    assert pool(2) == [2, 1]
    assert pool(9, exclude_seen=False) == [2, 3, 1, 4, 0]


def test_a_user_whose_last_item_has_no_vector_is_offered_what_is_popular() -> None:
    assert pool(9, did=(4,)) == [0]
