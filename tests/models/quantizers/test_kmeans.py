"""What k-means promises, whatever the order, the file, the processor or the number of workers."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.quantizers import kmeans as module
from models.quantizers.kmeans import kmeans
from models.quantizers.nearest import assign
from tests.models.quantizers.clouds import make_clouds


def fit(
    x: Tensor, codes: int, weights: Tensor | None = None, iterations: int = 10, start: Tensor | None = None
) -> Tensor:
    weights = torch.ones(len(x)) if weights is None else weights
    return kmeans(x, weights, codes=codes, iterations=iterations, seed=0, tick=lambda _: None, start=start)


def error(x: Tensor, centroids: Tensor) -> float:
    return float((x - centroids[assign(x, centroids)]).double().square().sum(1).mean())


def test_clouds_that_are_far_apart_are_found() -> None:
    generator = torch.Generator().manual_seed(2)
    cloud = torch.arange(6).repeat_interleave(50)
    x = 10 * torch.eye(6)[cloud] + 0.1 * torch.randn(300, 6, generator=generator)
    labels = assign(x, fit(x, 6, iterations=20))
    assert len(torch.unique(torch.stack([cloud, labels], 1), dim=0)) == 6


def test_bfloat16_leads_to_the_centroids_of_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    x = make_clouds(3000, dim=32)
    centroids = []
    for fast in (True, False):
        monkeypatch.setattr(module, "fast_bfloat16", lambda fast=fast: fast)
        centroids.append(fit(x, 40))
    assert torch.allclose(centroids[0], centroids[1], atol=1e-5)


def test_more_iterations_never_raise_the_error() -> None:
    x = make_clouds()
    errors = [error(x, fit(x, 20, iterations=count)) for count in (0, 1, 3, 9)]
    assert errors == sorted(errors, reverse=True)


def test_a_fit_begins_at_its_start() -> None:
    x = make_clouds()
    start = x[:25].clone()
    assert torch.equal(fit(x, 25, iterations=0, start=start), start)
    halfway = fit(x, 25, iterations=3, start=start)
    assert torch.allclose(fit(x, 25, iterations=4, start=halfway), fit(x, 25, iterations=7, start=start), atol=1e-5)
    assert torch.equal(start, x[:25])


def test_a_start_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[at most 5, 16\], not \[6, 16\]"):
        fit(make_clouds(), 5, start=torch.ones(6, 16))


def test_a_centroid_without_rows_moves_to_the_row_that_is_farthest_from_its_own() -> None:
    x = torch.tensor([[0.0], [1.0], [9.0]])
    moved = fit(x, 2, iterations=1, start=torch.tensor([[0.0], [50.0]]))
    assert moved[1].item() == 9.0


def test_no_code_is_unused_where_items_suffice() -> None:
    x = make_clouds(600)
    centroids = fit(x, 200)
    assert len(torch.unique(assign(x, centroids))) == len(centroids) == 200


def test_residuals_leave_no_code_with_a_single_outlier() -> None:
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(2000, 400, generator=generator) * (0.8 + 0.4 * torch.rand(2000, 1, generator=generator))
    lone_codes = {}
    for residual in (False, True):
        centroids = kmeans(
            x, torch.ones(2000), codes=200, iterations=20, seed=0, tick=lambda _: None, residual=residual
        )
        lone_codes[residual] = int((torch.bincount(assign(x, centroids)) == 1).sum())
    assert lone_codes[True] == 0 < lone_codes[False]


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("codes", [64, 80])
def test_equal_rows_get_a_centroid_of_their_own_however_few_there_are(codes: int, residual: bool) -> None:
    x = make_clouds(60)[torch.randint(60, (1000,), generator=torch.Generator().manual_seed(5))]
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
    x = make_clouds()
    kmeans(x, torch.ones(len(x)), codes=3, iterations=100, seed=0, tick=seen.append)
    assert sum(seen) == 100
    assert len(seen) < 100


def test_rows_in_a_mapped_file_give_the_same_centroids(tmp_path: Path) -> None:
    x = make_clouds()
    x.numpy().tofile(tmp_path / "x")
    mapped = torch.from_file(str(tmp_path / "x"), size=x.numel()).view(x.shape)
    assert torch.equal(fit(mapped, 20), fit(x, 20))


def test_several_chunks_give_the_centroids_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    x = make_clouds()
    in_one_chunk = fit(x, 20)
    monkeypatch.setattr(module, "_CHUNK_ROWS", 130)
    assert torch.allclose(fit(x, 20), in_one_chunk, atol=1e-6)


def fit_twice(items: int) -> list[Tensor]:
    x = make_clouds(items)
    return [fit(x, min(40, items)), fit(x, 3, start=torch.full((3, 16), 99.0))]


def run_worker(number: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=number, world_size=2)
    save_file({str(n): centroids for n, centroids in enumerate(fit_twice(1) + fit_twice(701))}, folder / str(number))
    dist.barrier()  # a worker that leaves early may abort the other
    dist.destroy_process_group()


def test_two_workers_find_what_one_process_finds(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(run_worker, (tmp_path,), nprocs=2)  # type: ignore[no-untyped-call]  # torch gives it no types
    first, second = (load_file(tmp_path / str(number)) for number in (0, 1))
    alone = fit_twice(1) + fit_twice(701)
    assert len(first) == len(second) == len(alone)
    for number, expected in enumerate(alone):
        assert torch.equal(first[str(number)], second[str(number)])
        assert torch.allclose(first[str(number)], expected, atol=1e-5)


def test_several_threads_find_what_one_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK_ROWS", 130)
    before = torch.get_num_threads()
    centroids = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            centroids.append(fit(make_clouds(701), 20))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*centroids)
