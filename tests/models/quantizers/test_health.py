"""What the numbers about semantic IDs mean."""

import math
import sys

import pytest
import torch

from models.quantizers import measure_health, measure_rebuild_errors

X = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
CODES = torch.tensor([[0, 0, 0], [0, 0, 0], [1, 0, 0], [1, 1, 0]])
SIZES = (4, 2, 2)
EXACT = torch.zeros(4, dtype=torch.float64)


def measure_example(codes: torch.Tensor = CODES, neighbours: int = 1) -> dict[str, float]:
    return measure_health(X, codes, EXACT, SIZES, neighbours=neighbours, seed=0)


def test_items_that_share_an_id_count_as_collisions() -> None:
    result = measure_example()
    assert result["collision_rate"] == 0.5
    assert result["unique_share"] == 0.75
    assert result["largest_bucket"] == 2.0


def test_edge_num_is_how_many_items_a_lookup_of_an_items_own_id_finds() -> None:
    assert measure_example()["edge_num"] == (2 + 2 + 1 + 1) / 4


def test_items_that_share_an_id_are_found_first_with_the_chance_of_a_random_order() -> None:
    result = measure_example()
    assert result["hr_at_1"] == (0.5 + 0.5 + 1 + 1) / 4
    assert result["hr_at_10"] == 1.0


def test_an_item_among_forty_is_among_the_first_ten_a_quarter_of_the_time() -> None:
    codes = torch.zeros(40, 3, dtype=torch.int64)
    x = torch.eye(40)
    result = measure_health(x, codes, torch.zeros(len(x)), SIZES, seed=0)
    assert result["hr_at_1"] == pytest.approx(1 / 40)
    assert result["hr_at_10"] == pytest.approx(1 / 4)


def test_codes_that_no_item_has_are_dead() -> None:
    result = measure_example()
    assert (result["used_codes_1"], result["dead_codes_1"]) == (2.0, 2.0)
    assert (result["used_codes_3"], result["dead_codes_3"]) == (1.0, 1.0)


def test_perplexity_is_the_number_of_codes_when_all_are_used_equally() -> None:
    result = measure_example()
    assert result["perplexity_1"] == pytest.approx(2.0)
    assert result["perplexity_3"] == pytest.approx(1.0)
    assert 1.0 < result["perplexity_2"] < 2.0


def test_rebuild_error_is_per_element() -> None:
    errors = measure_rebuild_errors(X, CODES, lambda codes: X + torch.tensor([[0.0], [2.0], [2.0], [0.0]]))
    assert errors.tolist() == pytest.approx([0, 4, 4, 0])
    assert measure_health(X, CODES, errors, SIZES, seed=0)["rebuild_error"] == pytest.approx(2.0)


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_the_rebuild_error_of_the_first_codes_is_the_spread_of_the_items_that_share_them(
    monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(sys.modules["models.quantizers.health"], "_ROWS", rows)
    x = torch.tensor([[0.0, 0.0], [2.0, 0.0], [5.0, 5.0], [5.0, 9.0], [7.0, 7.0]])
    codes = torch.tensor([[1, 0, 0], [1, 0, 1], [0, 1, 0], [0, 1, 0], [0, 2, 0]])
    result = measure_health(x, codes, torch.zeros(5), SIZES, seed=0)
    thirds = (x[2:] - x[2:].mean(0)).square().sum()
    assert result["rebuild_error_1"] == pytest.approx((2.0 + thirds) / 10)
    assert result["rebuild_error_2"] == pytest.approx((2.0 + 8.0) / 10)
    assert result["rebuild_error"] == 0


def test_neighbours_are_found_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(300, 8, generator=torch.Generator().manual_seed(0))
    codes = torch.randint(3, (300, 3), generator=torch.Generator().manual_seed(1))
    unit = torch.nn.functional.normalize(x, dim=1)
    nearest = (unit @ unit.T - 2 * torch.eye(300)).topk(5).indices
    expected = float((codes[nearest][:, :, 0] == codes[:, None, 0]).double().mean())
    monkeypatch.setattr(sys.modules["models.quantizers.health"], "_CHUNK_ELEMENTS", 300 * 7)
    result = measure_health(x, codes, torch.zeros(300), SIZES, neighbours=5, seed=0)
    assert result["preserved_neighbours_c1"] == pytest.approx(expected)


def test_neighbours_are_preserved_where_they_share_the_codes() -> None:
    result = measure_example()
    assert result["preserved_neighbours_c1"] == 1.0
    assert result["preserved_neighbours_c1c2"] == 0.5


def test_the_second_code_counts_only_under_the_same_first_code() -> None:
    codes = torch.tensor([[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]])
    assert measure_example(codes)["preserved_neighbours_c1c2"] == 0.0


def test_a_lone_item_has_no_neighbours_to_preserve() -> None:
    result = measure_health(X[:1], CODES[:1], EXACT[:1], SIZES, seed=0)
    assert math.isnan(result["preserved_neighbours_c1"])


def test_the_sample_of_neighbours_follows_the_seed() -> None:
    generator = torch.Generator().manual_seed(0)
    x, codes = torch.randn(200, 8, generator=generator), torch.randint(2, (200, 3), generator=generator)
    first, again, other = (
        measure_health(x, codes, torch.zeros(len(x)), SIZES, sample=20, seed=seed)["preserved_neighbours_c1"]
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        measure_health(X, CODES[:2], EXACT, SIZES, seed=0)
