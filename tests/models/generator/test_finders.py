"""What finds items: the most popular ones."""

import numpy as np

from models.generator.finders import make_popular_finder
from models.ranker.histories import Histories


def test_a_user_gets_the_most_popular_items_that_the_user_has_not_acted_on() -> None:
    users, items = np.repeat([0, 2], [5, 3]), np.array([7, 5, 7, 5, 9, 4, 3, 2])
    histories = Histories.from_arrays(users, items, np.arange(8), 3)
    popular = np.array([5, 7, 2, 3, 9, 4, 0]), np.array([7, 6, 5, 4, 3, 2, 1], np.float32)
    found, scores = make_popular_finder(popular)(histories, np.arange(3), histories.offsets[1:], 3)
    assert found.tolist() == [[2, 3, 4], [5, 7, 2], [5, 7, 9]]
    assert scores.tolist() == [[5, 4, 2], [7, 6, 5], [7, 6, 3]]


def test_a_user_who_has_acted_on_nearly_all_popular_items_gets_a_shorter_list() -> None:
    histories = Histories.from_arrays(np.zeros(3, int), np.array([1, 1, 2]), np.arange(3), 1)
    find_items = make_popular_finder((np.array([1, 2, 0]), np.array([3, 2, 1], np.float32)))
    assert find_items(histories, np.array([0]), np.array([3]), 2)[0].tolist() == [[0, -1]]
