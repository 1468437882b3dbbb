"""A refit keeps the numbers of the old codebook."""

import numpy as np
import pytest
import torch

from models.quantizers import ResKmeansFSQ
from models.quantizers.matching import match_codebook, match_codes, match_digits, measure_moves
from models.quantizers.res_kmeans import BalancedResKmeans, ResKmeans

SIZES = (8, 4, 16)


def fitted(x: torch.Tensor, seed: int = 0, start: ResKmeansFSQ | None = None) -> ResKmeansFSQ:
    return ResKmeansFSQ.fit(x, sizes=SIZES, seed=seed, kmeans_iterations=10, fsq_steps=60, start=start)


def items(seed: int, rows: int = 400) -> torch.Tensor:
    centres = torch.randn(12, 16, generator=torch.Generator().manual_seed(9)) * 2
    generator = torch.Generator().manual_seed(seed)
    which = torch.randint(12, (rows,), generator=generator)
    return centres[which] + torch.randn(rows, 16, generator=generator) * 0.4


def test_a_code_takes_the_number_that_most_of_its_items_had() -> None:
    before = np.array([2, 2, 2, 0, 0, 1])
    after = np.array([0, 0, 1, 1, 1, 2])
    assert match_codes(before, after, 3).tolist() == [2, 0, 1]


def test_every_number_is_given_once_even_if_no_item_has_the_code() -> None:
    numbers = match_codes(np.array([4, 7]), np.array([1, 0]), 5)
    assert sorted(numbers.tolist()) == [0, 1, 2, 3, 4]
    assert numbers[1] == 4


def test_digits_with_equally_many_values_are_matched_in_either_direction() -> None:
    values = np.array([2, 2, 3, 2, 3])
    before = np.stack(np.unravel_index(np.arange(72), values.tolist()), axis=1)
    after = np.stack([before[:, 1], 1 - before[:, 0], 2 - before[:, 4], 1 - before[:, 3], before[:, 2]], axis=1)
    order, reverse = match_digits(before, after, values)
    assert (order, reverse) == ([1, 0, 4, 3, 2], [True, False, False, True, True])
    assert match_digits(before[:0], after[:0], values) == ([0, 1, 2, 3, 4], [False] * 5)


def test_renumbered_codes_and_reversed_digits_are_found_again_without_any_item_moving() -> None:
    x = items(0)
    old = fitted(x)
    numbers = [torch.arange(len(centroids)).flip(0) for centroids in old.centroids]
    shuffled = old.renumber(numbers, [2, 0, 3, 1], [True, False, True, False])
    assert torch.equal(shuffled.decode(shuffled.encode(x)), old.decode(old.encode(x)))
    assert (old.encode(x) != shuffled.encode(x)).any(1).double().mean() > 0.9
    again = match_codebook(old, shuffled, x)
    assert torch.equal(old.encode(x), again.encode(x))
    codes = old.encode(x)
    assert torch.allclose(old.decode(codes), again.decode(codes))


def test_a_matched_refit_moves_at_most_half_as_many_items_as_an_unmatched_one() -> None:
    x, later = items(0), torch.cat([items(0)[100:], items(1, 150)])
    old = fitted(x)
    stay = x[100:]
    before = old.encode(stay).numpy()
    refit = measure_moves(before, match_codebook(old, fitted(later, seed=1, start=old), stay).encode(stay).numpy())
    alone = measure_moves(before, fitted(later, seed=1).encode(stay).numpy())
    for metric in ("moved_c1", "moved_c1c2", "moved_id"):
        assert refit[metric] <= alone[metric] / 2


def test_codes_of_a_fit_from_scratch_get_the_numbers_that_their_items_had() -> None:
    x = items(0)
    old, scratch = fitted(x), fitted(x, seed=1)
    before = old.encode(x).numpy()
    alone = measure_moves(before, scratch.encode(x).numpy())
    matched = measure_moves(before, match_codebook(old, scratch, x).encode(x).numpy())
    assert matched["moved_c1"] < alone["moved_c1"] / 2


@pytest.mark.parametrize("kind", [ResKmeans, BalancedResKmeans])
def test_residual_k_means_keeps_its_numbers_too(kind: type[ResKmeans]) -> None:
    x, later = items(0), torch.cat([items(0)[100:], items(1, 150)])
    old = kind.fit(x, sizes=(8, 4, 16), seed=0)
    matched = match_codebook(old, kind.fit(later, sizes=(8, 4, 16), seed=1, start=old), x[100:])
    alone = kind.fit(later, sizes=(8, 4, 16), seed=1)
    before = old.encode(x[100:]).numpy()
    refit, scratch = (measure_moves(before, book.encode(x[100:]).numpy()) for book in (matched, alone))
    assert all(refit[metric] <= scratch[metric] / 2 for metric in ("moved_c1", "moved_c1c2"))
    flipped = old.renumber([torch.arange(len(level)).flip(0) for level in old.centroids])
    assert (flipped.encode(x) != old.encode(x)).all()
    assert torch.equal(match_codebook(old, flipped, x).encode(x), old.encode(x))
    with pytest.raises(ValueError, match="same sizes"):
        kind.fit(x, sizes=(8, 8, 16), seed=0, start=old)


def test_moves_are_measured_by_prefix() -> None:
    before = np.array([[1, 1, 1]] * 4)
    after = np.array([[1, 1, 1], [1, 1, 2], [1, 2, 1], [2, 1, 1]])
    assert measure_moves(before, after) == {"moved_c1": 0.25, "moved_c1c2": 0.5, "moved_id": 0.75}
