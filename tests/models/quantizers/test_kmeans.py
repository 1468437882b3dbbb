"""What k-means promises: the nearest centroids, whatever the order, the file, the processor or the number of ranks."""

import resource
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.quantizers import kmeans as module
from models.quantizers.kmeans import assign, kmeans
from models.quantizers.nearest import Nearest, QuickNearest
from models.quantizers.points import distinct


def clouds(items: int = 900, dim: int = 16, centres: int = 30, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    middle = torch.randn(centres, dim, generator=generator)
    which = torch.randint(centres, (items,), generator=generator)
    return middle[which] + 0.5 * torch.randn(items, dim, generator=generator)


def fit(
    x: Tensor, codes: int, weights: Tensor | None = None, iterations: int = 10, start: Tensor | None = None
) -> Tensor:
    weights = torch.ones(len(x)) if weights is None else weights
    return kmeans(x, weights, codes=codes, iterations=iterations, seed=0, tick=lambda _: None, start=start)


def error(x: Tensor, centroids: Tensor) -> float:
    return float((x - centroids[assign(x, centroids)]).double().square().sum(1).mean())


def whole(x: Tensor, centroids: Tensor) -> Tensor:
    """The nearest codes by way of all distances."""
    return (x[:, None].double() - centroids.double()).square().sum(2).argmin(1)


def points(x: Tensor, folder: Path, rows_per_batch: int = 100) -> tuple[Tensor, Tensor]:
    folder.mkdir()
    return distinct((part.numpy() for part in torch.split(x, rows_per_batch)), folder)


@pytest.mark.parametrize("codes", [1, 31, 32, 33, 200])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_fused_assignment_equals_the_one_by_all_distances(codes: int, dtype: torch.dtype) -> None:
    x = clouds(700).to(dtype)
    assert torch.equal(assign(x, x[:codes]), whole(x, x[:codes]))


def test_of_equally_near_centroids_the_lower_code_is_taken() -> None:
    x = torch.randint(-3, 4, (500, 3), generator=torch.Generator().manual_seed(2)).float()
    centroids = x[:100].repeat(2, 1)
    assert torch.equal(assign(x, centroids), whole(x, centroids))


@pytest.mark.parametrize("shift", [0.0, 20.0])
def test_the_bfloat16_product_gives_the_codes_and_distances_of_float32(shift: float) -> None:
    x = clouds(5000, dim=64) + shift
    labels, distances = Nearest(x[:300])(x)
    quick, about = QuickNearest(x[:300], 1.0, x[:500])(x)
    assert torch.equal(quick, labels)
    assert torch.allclose(about, distances, rtol=0.1, atol=0.5 + 0.02 * shift**2)


def test_no_rows_get_no_codes() -> None:
    assert assign(torch.empty(0, 4), torch.ones(3, 4)).shape == (0,)


def test_well_parted_clouds_are_found() -> None:
    generator = torch.Generator().manual_seed(2)
    cloud = torch.arange(6).repeat_interleave(50)
    x = 10 * torch.eye(6)[cloud] + 0.1 * torch.randn(300, 6, generator=generator)
    labels = assign(x, fit(x, 6, iterations=20))
    assert len(torch.unique(torch.stack([cloud, labels], 1), dim=0)) == 6


def test_bfloat16_leads_to_the_centroids_of_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    x = clouds(3000, dim=32)
    found = []
    for fast in (True, False):
        monkeypatch.setattr(module, "fast_bfloat16", lambda fast=fast: fast)
        found.append(fit(x, 40))
    assert torch.allclose(found[0], found[1], atol=1e-5)


def test_more_iterations_never_raise_the_error() -> None:
    x = clouds()
    errors = [error(x, fit(x, 20, iterations=count)) for count in (0, 1, 3, 9)]
    assert errors == sorted(errors, reverse=True)


def test_a_fit_goes_on_from_the_start_it_is_given() -> None:
    x = clouds()
    start = x[:25].clone()
    assert torch.equal(fit(x, 25, iterations=0, start=start), start)
    halfway = fit(x, 25, iterations=3, start=start)
    assert torch.allclose(fit(x, 25, iterations=4, start=halfway), fit(x, 25, iterations=7, start=start), atol=1e-5)
    assert torch.equal(start, x[:25])


def test_a_start_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[at most 5, 16\], not \[6, 16\]"):
        fit(clouds(), 5, start=torch.ones(6, 16))


def test_a_centroid_without_rows_moves_to_the_row_that_is_farthest_from_its_own() -> None:
    x = torch.tensor([[0.0], [1.0], [9.0]])
    moved = fit(x, 2, iterations=1, start=torch.tensor([[0.0], [50.0]]))
    assert moved[1].item() == 9.0


def test_no_code_is_unused_where_items_suffice() -> None:
    x = clouds(600)
    centroids = fit(x, 200)
    assert len(torch.unique(assign(x, centroids))) == len(centroids) == 200


def test_residuals_leave_no_code_with_a_single_outlier() -> None:
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(2000, 400, generator=generator) * (0.8 + 0.4 * torch.rand(2000, 1, generator=generator))
    lone = {}
    for residual in (False, True):
        found = kmeans(x, torch.ones(2000), codes=200, iterations=20, seed=0, tick=lambda _: None, residual=residual)
        lone[residual] = int((torch.bincount(assign(x, found)) == 1).sum())
    assert lone[True] == 0 < lone[False]


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("codes", [64, 80])
def test_equal_rows_get_a_centroid_of_their_own_however_few_there_are(codes: int, residual: bool) -> None:
    x = clouds(60)[torch.randint(60, (1000,), generator=torch.Generator().manual_seed(5))]
    centroids = kmeans(x, torch.ones(1000), codes=codes, iterations=60, seed=0, tick=lambda _: None, residual=residual)
    assert len(torch.unique(assign(x, centroids))) == len(torch.unique(x, dim=0))
    assert error(x, centroids) < 1e-6


@pytest.mark.parametrize("start", [None, torch.zeros(8, 3)])
@pytest.mark.parametrize("value", [0.1, 1e30, 1e-30])
def test_fewer_distinct_rows_than_codes_give_as_many_centroids(value: float, start: Tensor | None) -> None:
    x = value * torch.eye(3).repeat(50, 1)
    centroids = fit(x, 8, start=start)
    assert torch.allclose(centroids.sort(0).values / value, torch.eye(3).sort(0).values)


def test_a_row_counted_three_times_pulls_a_centroid_like_three_rows() -> None:
    assert fit(torch.tensor([[1.0], [5.0]]), 1, weights=torch.tensor([3, 1])).item() == pytest.approx(2.0)


def test_progress_counts_every_iteration_even_those_that_are_not_needed() -> None:
    seen: list[int] = []
    x = clouds()
    kmeans(x, torch.ones(len(x)), codes=3, iterations=100, seed=0, tick=seen.append)
    assert sum(seen) == 100
    assert len(seen) < 100


def test_rows_in_a_mapped_file_give_the_same_centroids(tmp_path: Path) -> None:
    x = clouds()
    x.numpy().tofile(tmp_path / "x")
    mapped = torch.from_file(str(tmp_path / "x"), size=x.numel()).view(x.shape)
    assert torch.equal(fit(mapped, 20), fit(x, 20))


def test_several_chunks_give_the_centroids_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    x = clouds()
    one = fit(x, 20)
    monkeypatch.setattr(module, "_CHUNK_ROWS", 130)
    assert torch.allclose(fit(x, 20), one, atol=1e-6)


def fits(items: int) -> list[Tensor]:
    x = clouds(items)
    return [fit(x, min(40, items)), fit(x, 3, start=torch.full((3, 16), 99.0))]


def rank(number: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=number, world_size=2)
    save_file({str(n): found for n, found in enumerate(fits(1) + fits(701))}, folder / str(number))
    dist.barrier()  # one that leaves early may abort the other
    dist.destroy_process_group()


def test_two_ranks_find_what_one_process_finds(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(rank, (tmp_path,), nprocs=2)  # type: ignore[no-untyped-call]  # torch gives it no types
    first, second = (load_file(tmp_path / str(number)) for number in (0, 1))
    alone = fits(1) + fits(701)
    assert len(first) == len(second) == len(alone)
    for number, expected in enumerate(alone):
        assert torch.equal(first[str(number)], second[str(number)])
        assert torch.allclose(first[str(number)], expected, atol=1e-5)


def test_several_threads_find_what_one_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK_ROWS", 130)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(fit(clouds(701), 20))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)


def test_points_that_find_no_room_are_told_and_not_lost(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # what a full disk does, to this process alone
    try:
        with pytest.raises(OSError, match="large"):
            distinct(iter([np.random.default_rng(0).random((40, 384), np.float32)]), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_points_are_the_distinct_rows_and_how_often_each_came(tmp_path: Path) -> None:
    x = torch.cat([clouds(300), clouds(100), clouds(300)[:7], torch.zeros(2, 16), -torch.zeros(1, 16)])
    rows, weights = points(x, tmp_path / "a")
    expected, counts = torch.unique(x + 0.0, dim=0, return_counts=True)
    order = torch.from_numpy(np.lexsort(rows.numpy().T[::-1]))
    assert torch.equal(rows[order], expected)
    assert torch.equal(weights[order], counts)


def test_points_do_not_depend_on_the_order_of_rows_nor_on_the_batches(tmp_path: Path) -> None:
    x = torch.cat([clouds(500), clouds(200)])
    one = points(x, tmp_path / "a", rows_per_batch=len(x))
    shuffled = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(9))]
    other = points(shuffled, tmp_path / "b", rows_per_batch=37)
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])


def test_points_that_are_not_finite_or_of_several_dimensions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 of 3 vectors hold NaN or infinity"):
        points(torch.tensor([[1.0], [float("nan")], [2.0]]), tmp_path / "a", rows_per_batch=1)
    with pytest.raises(ValueError, match="of 3 dimensions, those before of 2"):
        distinct(iter([np.ones((2, 2), np.float32), np.ones((2, 3), np.float32)]), tmp_path / "a")
    with pytest.raises(ValueError, match="no vector"):
        distinct(iter([]), tmp_path / "a")
