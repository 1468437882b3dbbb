"""What a semantic ID promises."""

import pytest
import torch
from torch import Tensor

from models.quantizers import ResKmeansFSQ, format_sids

SIZES = (8, 8, 64)


def fit(x: Tensor, sizes: tuple[int, int, int] = SIZES, fsq_steps: int = 60, seed: int = 3) -> ResKmeansFSQ:
    return ResKmeansFSQ.fit(x, sizes=sizes, seed=seed, kmeans_iterations=10, fsq_steps=fsq_steps)


@pytest.fixture(scope="module")
def x() -> Tensor:
    """[600, 16]: 20 clouds of 30 items."""
    generator = torch.Generator().manual_seed(1)
    centres = torch.randn(20, 16, generator=generator).repeat_interleave(30, 0)
    return centres + 0.3 * torch.randn(600, 16, generator=generator)


@pytest.fixture(scope="module")
def codebook(x: Tensor) -> ResKmeansFSQ:
    return fit(x)


def measure_shared(codes: Tensor) -> float:
    """The share of items whose codes another item has, too."""
    _, owner, counts = torch.unique(codes, dim=0, return_inverse=True, return_counts=True)
    return float((counts[owner] > 1).float().mean())


def test_every_code_is_within_its_level(codebook: ResKmeansFSQ, x: Tensor) -> None:
    codes = codebook.encode(x)
    assert codes.shape == (600, 3)
    assert codes.dtype == torch.int64
    assert bool(((codes >= 0) & (codes < torch.tensor(SIZES))).all())


def test_the_same_items_and_seed_give_the_same_ids(codebook: ResKmeansFSQ, x: Tensor) -> None:
    assert torch.equal(fit(x).encode(x), codebook.encode(x))


def test_another_seed_gives_another_codebook(codebook: ResKmeansFSQ, x: Tensor) -> None:
    assert not torch.equal(fit(x, seed=4).encode(x), codebook.encode(x))


def test_the_order_of_the_items_does_not_change_the_codebook(codebook: ResKmeansFSQ, x: Tensor) -> None:
    shuffled = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(9))]
    assert sorted(fit(shuffled).to_rows()) == sorted(codebook.to_rows())


def test_an_id_does_not_depend_on_the_items_beside_it(codebook: ResKmeansFSQ, x: Tensor) -> None:
    alone = torch.cat([codebook.encode(item[None]) for item in x])
    assert torch.equal(alone, codebook.encode(x))


def test_a_codebook_read_back_from_its_rows_in_any_order_gives_the_same_ids(codebook: ResKmeansFSQ, x: Tensor) -> None:
    as_stored = [(level, part, code, torch.tensor(vector).tolist()) for level, part, code, vector in codebook.to_rows()]
    again = ResKmeansFSQ.from_rows(as_stored[::-1])
    assert torch.equal(again.encode(x), codebook.encode(x))
    assert torch.equal(again.decode(again.encode(x)), codebook.decode(codebook.encode(x)))
    assert again.sizes == codebook.sizes


def test_rows_are_unique_by_level_part_and_code(codebook: ResKmeansFSQ) -> None:
    keys = [row[:3] for row in codebook.to_rows()]
    assert len(set(keys)) == len(keys)


def test_a_codebook_with_a_missing_row_is_refused(codebook: ResKmeansFSQ) -> None:
    with pytest.raises(ValueError, match="rows are missing"):
        ResKmeansFSQ.from_rows([row for row in codebook.to_rows() if row[:3] != (1, "centroid", 7)])


def test_a_codebook_with_a_missing_part_is_refused(codebook: ResKmeansFSQ) -> None:
    with pytest.raises(ValueError, match="rows are missing"):
        ResKmeansFSQ.from_rows([row for row in codebook.to_rows() if row[1] != "encoder.0.bias"])


def test_each_level_brings_the_rebuilt_vector_nearer(codebook: ResKmeansFSQ, x: Tensor) -> None:
    codes = codebook.encode(x)
    first = codebook.centroids[0][codes[:, 0]].float()
    second = first + codebook.centroids[1][codes[:, 1]].float()
    errors = [float((x - part).square().mean()) for part in (first, second, codebook.decode(codes))]
    assert errors[0] > errors[1] > errors[2]


def test_the_last_level_parts_items_that_k_means_leaves_together(codebook: ResKmeansFSQ, x: Tensor) -> None:
    ids = codebook.encode(x)
    assert measure_shared(ids) < measure_shared(ids[:, :2]) / 2


def test_training_leaves_fewer_items_with_a_shared_id(x: Tensor) -> None:
    assert measure_shared(fit(x, fsq_steps=200).encode(x)) < 0.7 * measure_shared(fit(x, fsq_steps=0).encode(x))


def test_fewer_distinct_items_than_codes_use_fewer_codes() -> None:
    x = torch.eye(5).repeat(4, 1)
    codebook = fit(x)
    codes = codebook.encode(x)
    assert len(codebook.centroids[0]) == 5
    assert len(torch.unique(codes, dim=0)) == 5
    assert torch.allclose(codebook.decode(codes), x, atol=0.2)


@pytest.mark.parametrize("value", [0.0, 1.0, 1e15, 1e-15])
def test_items_that_are_all_the_same_get_one_finite_id(value: float) -> None:
    same = torch.full((7, 4), value)
    codebook = fit(same)
    assert len(torch.unique(codebook.encode(same), dim=0)) == 1
    assert bool(torch.isfinite(codebook.decode(codebook.encode(same))).all())


def test_a_single_item_gets_an_id() -> None:
    assert fit(torch.ones(1, 3)).encode(torch.ones(1, 3)).shape == (1, 3)


def test_no_items_give_no_ids(codebook: ResKmeansFSQ) -> None:
    assert codebook.encode(torch.empty(0, 16)).shape == (0, 3)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_vectors_that_are_not_finite_are_refused(codebook: ResKmeansFSQ, x: Tensor, bad: float) -> None:
    broken = x.clone()
    broken[7, 3] = bad
    with pytest.raises(ValueError, match="1 of 600 vectors hold NaN, infinity"):
        fit(broken)
    with pytest.raises(ValueError, match="1 of 600 vectors hold NaN, infinity"):
        codebook.encode(broken)


def test_vectors_of_another_dimension_are_refused(codebook: ResKmeansFSQ) -> None:
    with pytest.raises(ValueError, match=r"\[items, 16\], not \[2, 17\]"):
        codebook.encode(torch.ones(2, 17))


def test_digits_of_several_values_do_all_that_bits_do(x: Tensor) -> None:
    def fitted(steps: int) -> ResKmeansFSQ:
        return ResKmeansFSQ.fit(
            x, sizes=(8, 8, 80), seed=3, kmeans_iterations=10, fsq_steps=steps, fsq_values=(5, 4, 4)
        )

    codebook = fitted(200)
    codes = codebook.encode(x)
    assert set(codes[:, 2].tolist()) <= set(range(80))
    for digit, values in enumerate((5, 4, 4)):
        assert set(codebook.fsq.split_digits(codes[:, 2])[:, digit].tolist()) == set(range(values))
    assert measure_shared(codes) < 0.7 * measure_shared(fitted(0).encode(x))
    again = ResKmeansFSQ.from_rows(codebook.to_rows())
    assert torch.equal(again.encode(x), codes)
    assert torch.equal(again.decode(codes), codebook.decode(codes))
    other = codebook.renumber([torch.arange(8), torch.arange(8)], [0, 1, 2], [True, False, True])
    assert (other.encode(x)[:, 2] != codes[:, 2]).double().mean() > 0.7
    assert torch.equal(other.decode(other.encode(x)), codebook.decode(codes))


def test_a_start_of_other_values_or_sizes_is_refused(codebook: ResKmeansFSQ, x: Tensor) -> None:
    for settings in ({"fsq_values": (8, 8)}, {"sizes": (8, 8, 32)}):
        with pytest.raises(ValueError, match="to start from"):
            ResKmeansFSQ.fit(x, **({"sizes": SIZES} | settings), seed=3, start=codebook)


@pytest.mark.parametrize("values", [(5, 4), (64, 1), (8, 9)])
def test_values_that_do_not_give_the_size_are_refused(x: Tensor, values: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="product"):
        ResKmeansFSQ.fit(x, sizes=SIZES, seed=3, fsq_values=values)


@pytest.mark.parametrize("sizes", [(8, 8, 12), (8, 8, 1), (0, 8, 8)])
def test_impossible_sizes_are_refused(x: Tensor, sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="size"):
        fit(x, sizes=sizes)


def test_a_codebook_of_no_items_is_refused() -> None:
    with pytest.raises(ValueError, match="no item"):
        fit(torch.empty(0, 4))


def test_a_code_that_the_codebook_does_not_use_is_refused(codebook: ResKmeansFSQ) -> None:
    with pytest.raises(ValueError, match="outside"):
        codebook.decode(torch.tensor([[0, 0, 64]]))


def test_progress_counts_up_to_all_steps(x: Tensor) -> None:
    seen: list[tuple[int, int]] = []
    ResKmeansFSQ.fit(
        x,
        sizes=SIZES,
        seed=1,
        kmeans_iterations=50,
        fsq_steps=5,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == sorted(seen)
    assert seen[-1] == (105, 105)


def test_the_text_form_names_all_three_codes() -> None:
    assert format_sids(torch.tensor([[12, 7, 3012], [0, 0, 0]])) == ["<a_12><b_7><c_3012>", "<a_0><b_0><c_0>"]
