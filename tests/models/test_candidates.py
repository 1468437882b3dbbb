"""Candidates: pairs and neighbours of a user's last items, generated items and popular items take turns."""

from typing import Any

import numpy as np
import torch

from models.candidates import OFFSET, Candidates, find_neighbours, select_candidates
from models.ranker import Histories

VECTORS = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-0.6, -0.8], [0.0, 0.0]])  # item 4 has no vector


def list_items(*items: int) -> Histories:
    """The items of one user in this order."""
    return Histories.from_arrays(np.zeros(len(items), int), np.array(items, int), np.arange(len(items)), 1)


def find_candidates(
    count: int, exclude_seen: bool = True, history: tuple[int, ...] = (3, 0), generated: tuple[int, ...] = ()
) -> Candidates:
    pairs = (np.array([0, 0, 2]), np.array([2, 3, 1]))
    (candidates,) = select_candidates(
        list_items(*history), np.array([0]), neighbours=find_neighbours(VECTORS, 2), pairs=pairs,
        generated=[list_items(*generated)], popular=np.array([4, 0]), triggers=1, count=count,
        exclude_seen=exclude_seen,
    )  # fmt: skip
    return candidates


def candidates_of(count: int, **more: Any) -> list[int]:
    return list(map(int, find_candidates(count, **more).items))


def test_an_item_is_not_its_own_neighbour_and_an_item_without_a_vector_is_no_neighbour() -> None:
    expected = [[1, 2, 3, -1], [0, 2, 3, -1], [1, 0, 3, -1], [0, 2, 1, -1], [-1] * 4]
    assert find_neighbours(VECTORS, 9).tolist() == expected
    assert find_neighbours(VECTORS[:1], 3).shape == (1, 0)


def test_the_sources_take_turns() -> None:
    # The last item is 0. Its pairs are 2 and 3, its neighbours 1 and 2, and the popular items are 4 and 0. 3 was seen.
    assert candidates_of(9) == [2, 1, 4]
    assert candidates_of(9, generated=(4, 1)) == [2, 1, 4]
    assert candidates_of(2, generated=(4, 1)) == [2, 1]
    assert candidates_of(9, exclude_seen=False) == [2, 1, 4, 3, 0]


def test_a_candidate_names_all_sources_that_have_it() -> None:
    pairs, neighbours, generated, popular = 1, 2, 4, 8
    candidates = find_candidates(2, generated=(4, 1))
    assert dict(zip(candidates.items.tolist(), candidates.sources.tolist(), strict=True)) == {
        2: pairs + neighbours, 1: neighbours + generated,
    }  # fmt: skip
    assert find_candidates(9, generated=(4, 1)).sources.tolist()[2] == generated + popular


def test_generated_lists_vote_for_their_items_the_earlier_the_more() -> None:
    candidates = find_candidates(9, generated=(4, 3, 1))  # 3 was seen: it takes no place
    votes = dict(zip(candidates.items.tolist(), candidates.votes.tolist(), strict=True))
    assert votes == {2: 0, 4: 1 / (OFFSET + 1), 1: 1 / (OFFSET + 2)}


def test_items_that_the_user_has_seen_are_not_candidates_whatever_source_has_them() -> None:
    assert candidates_of(9, history=(3, 0), generated=(3, 0)) == [2, 1, 4]


def test_a_user_whose_last_item_has_no_vector_gets_popular_items() -> None:
    assert candidates_of(9, history=(4,)) == [0]
