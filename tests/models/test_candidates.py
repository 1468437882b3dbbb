"""Candidates: pairs and neighbours of a user's last items, generated items and popular items take turns."""

from itertools import zip_longest
from typing import Any

import numpy as np
import torch

from models.candidates import OFFSET, Candidates, CandidateSources, Lists
from models.neighbours import find_neighbours
from models.ranker import Histories

VECTORS = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-0.6, -0.8], [0.0, 0.0]])  # item 4 has no vector


def list_items(*items: int) -> Lists:
    """The items of one user in this order."""
    return Lists(np.array([0, len(items)]), np.array(items, int))


def find_candidates(
    count: int, exclude_seen: bool = True, history: tuple[int, ...] = (3, 0), generated: tuple[int, ...] = ()
) -> Candidates:
    sources = CandidateSources(
        neighbours=find_neighbours(VECTORS, 2), pairs=Lists.from_pairs(np.array([0, 0, 2]), np.array([2, 3, 1]), 5),
        generated=[list_items(*generated)], popular=np.array([4, 0]), triggers=1, count=count,
        exclude_seen=exclude_seen,
    )  # fmt: skip
    times = np.arange(len(history))
    return sources.find(Histories.from_arrays(times * 0, np.array(history), times, 1), np.array([0]))


def candidates_of(count: int, **more: Any) -> list[int]:
    return list(map(int, find_candidates(count, **more).items))


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


def test_users_of_one_call_have_the_candidates_that_each_has_alone() -> None:
    """Random sources and histories, against the definition: sources take turns, one item after another."""
    draw = np.random.default_rng(3)
    n_users, n_items = 40, 60
    users, items = draw.integers(0, n_users, 400), draw.integers(0, n_items, 400)
    histories = Histories.from_arrays(users, items, np.arange(400), n_users)
    made = Histories.from_arrays(
        draw.integers(0, n_users, 200), draw.integers(0, n_items, 200), np.arange(200), n_users
    )
    items_a, items_b = draw.integers(0, n_items, (2, 300))
    neighbours = draw.integers(-1, n_items, (n_items, 4))
    popular = draw.permutation(n_items)[:50]
    for count, exclude_seen in ((1, True), (7, True), (30, False), (60, True)):
        sources = CandidateSources(
            Lists.from_pairs(items_a, items_b, n_items), neighbours, [Lists(made.offsets, made.items)], popular,
            triggers=3, count=count, exclude_seen=exclude_seen,
        )  # fmt: skip
        found = sources.find(histories, np.arange(n_users))
        for user in range(n_users):
            seen = histories.items[histories.offsets[user] : histories.offsets[user + 1]].tolist()
            last = sorted(set(seen[-3:]))
            pools = [
                [b for item in last for a, b in zip(items_a, items_b, strict=True) if a == item],
                [neighbours[item, n] for n in range(4) for item in last if neighbours[item, n] >= 0],
                made.items[made.offsets[user] : made.offsets[user + 1]].tolist(),
                popular.tolist(),
            ]
            hidden = set(seen) if exclude_seen else set()
            pools = [list(dict.fromkeys(item for item in pool if item not in hidden))[:count] for pool in pools]
            turns = [item for place in zip_longest(*pools) for item in place if item is not None]
            is_user = found.rows == user
            assert found.items[is_user].tolist() == list(dict.fromkeys(turns))[:count]
            votes = [1 / (OFFSET + 1 + pools[2].index(n)) if n in pools[2] else 0.0 for n in found.items[is_user]]
            assert found.votes[is_user].tolist() == votes
            expected = [sum(1 << n for n, pool in enumerate(pools) if item in pool) for item in found.items[is_user]]
            assert found.sources[is_user].tolist() == expected
