"""Neighbours of items: exact for small catalogues, nearly so for large ones."""

import numpy as np
import torch

from models.neighbours import find_neighbours

VECTORS = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-0.6, -0.8], [0.0, 0.0]])  # item 4 has no vector


def test_an_item_is_not_its_own_neighbour_and_an_item_without_a_vector_is_no_neighbour() -> None:
    expected = [[1, 2, 3, -1], [0, 2, 3, -1], [1, 0, 3, -1], [0, 2, 1, -1], [-1] * 4]
    assert find_neighbours(VECTORS, 9).tolist() == expected
    assert find_neighbours(VECTORS[:1], 3).shape == (1, 0)
    assert find_neighbours(VECTORS[4:].expand(3, 2), 2).tolist() == [[-1, -1]] * 3
    assert find_neighbours(VECTORS, 9, exact_up_to=0).tolist() == expected


def test_in_a_large_catalogue_nearly_all_neighbours_are_the_nearest_items() -> None:
    draw = torch.Generator().manual_seed(0)
    centres = torch.randn(150, 16, generator=draw)
    vectors = torch.nn.functional.normalize(centres.repeat(40, 1) + torch.randn(6000, 16, generator=draw) / 2)
    vectors[::100] = 0
    exact, approximate = find_neighbours(vectors, 20), find_neighbours(vectors, 20, exact_up_to=1000)
    hits = [len(np.intersect1d(*rows)) for rows in zip(exact, approximate, strict=True) if rows[0][0] >= 0]
    assert np.mean(hits) > 0.9 * 20
    assert (approximate[::100] == -1).all()
    assert not np.isin(approximate, np.arange(0, 6000, 100)).any()
    assert not (approximate == np.arange(6000)[:, None]).any()
