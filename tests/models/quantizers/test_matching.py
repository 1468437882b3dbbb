"""A refit in the old numbers."""

import numpy as np
import pytest
import torch

from models.quantizers import ResKmeansFSQ
from models.quantizers.matching import matched, matched_digits, moved, renumbered
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
    assert renumbered(before, after, 3).tolist() == [2, 0, 1]


def test_every_number_is_given_once_also_where_no_item_tells() -> None:
    names = renumbered(np.array([4, 7]), np.array([1, 0]), 5)
    assert sorted(names.tolist()) == [0, 1, 2, 3, 4]
    assert names[1] == 4


def test_digits_are_matched_with_their_sense_where_they_take_as_many_values() -> None:
    values = np.array([2, 2, 3, 2, 3])
    before = np.stack(np.unravel_index(np.arange(72), values.tolist()), axis=1)
    after = np.stack([before[:, 1], 1 - before[:, 0], 2 - before[:, 4], 1 - before[:, 3], before[:, 2]], axis=1)
    order, turned = matched_digits(before, after, values)
    assert (order, turned) == ([1, 0, 4, 3, 2], [True, False, False, True, True])
    assert matched_digits(before[:0], after[:0], values) == ([0, 1, 2, 3, 4], [False] * 5)


def test_renamed_codes_and_turned_bits_are_found_again_without_any_item_moving() -> None:
    x = items(0)
    old = fitted(x)
    names = [torch.arange(len(centroids)).flip(0) for centroids in old.centroids]
    shuffled = old.renamed(names, [2, 0, 3, 1], [True, False, True, False])
    assert torch.equal(shuffled.decode(shuffled.encode(x)), old.decode(old.encode(x)))
    assert (old.encode(x) != shuffled.encode(x)).any(1).double().mean() > 0.9
    again = matched(old, shuffled, x)
    assert torch.equal(old.encode(x), again.encode(x))
    codes = old.encode(x)
    assert torch.allclose(old.decode(codes), again.decode(codes))


def test_a_matched_refit_moves_at_most_half_as_many_items_as_an_unmatched_one() -> None:
    x, later = items(0), torch.cat([items(0)[100:], items(1, 150)])
    old = fitted(x)
    stay = x[100:]
    before = old.encode(stay).numpy()
    refit = moved(before, matched(old, fitted(later, seed=1, start=old), stay).encode(stay).numpy())
    alone = moved(before, fitted(later, seed=1).encode(stay).numpy())
    for what in ("moved_c1", "moved_c1c2", "moved_id"):
        assert refit[what] <= alone[what] / 2


def test_codes_of_a_fit_from_scratch_get_the_numbers_that_their_items_had() -> None:
    x = items(0)
    old, scratch = fitted(x), fitted(x, seed=1)
    before = old.encode(x).numpy()
    alone = moved(before, scratch.encode(x).numpy())
    named = moved(before, matched(old, scratch, x).encode(x).numpy())
    assert named["moved_c1"] < alone["moved_c1"] / 2


@pytest.mark.parametrize("kind", [ResKmeans, BalancedResKmeans])
def test_residual_k_means_keeps_its_numbers_too(kind: type[ResKmeans]) -> None:
    x, later = items(0), torch.cat([items(0)[100:], items(1, 150)])
    old = kind.fit(x, sizes=(8, 4, 16), seed=0)
    again = matched(old, kind.fit(later, sizes=(8, 4, 16), seed=1, start=old), x[100:])
    alone = kind.fit(later, sizes=(8, 4, 16), seed=1)
    before = old.encode(x[100:]).numpy()
    refit, scratch = (moved(before, book.encode(x[100:]).numpy()) for book in (again, alone))
    assert all(refit[what] <= scratch[what] / 2 for what in ("moved_c1", "moved_c1c2"))
    turned = old.renamed([torch.arange(len(level)).flip(0) for level in old.centroids])
    assert (turned.encode(x) != old.encode(x)).all()
    assert torch.equal(matched(old, turned, x).encode(x), old.encode(x))
    with pytest.raises(ValueError, match="same sizes"):
        kind.fit(x, sizes=(8, 8, 16), seed=0, start=old)


def test_moved_counts_prefixes() -> None:
    before = np.array([[1, 1, 1]] * 4)
    after = np.array([[1, 1, 1], [1, 1, 2], [1, 2, 1], [2, 1, 1]])
    assert moved(before, after) == {"moved_c1": 0.25, "moved_c1c2": 0.5, "moved_id": 0.75}
