"""Distinct rows in memory and in a file."""

import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from models.quantizers.distinct import drop_repeats, find_distinct_rows, write_distinct_rows
from tests.models.quantizers.clouds import make_clouds


def write_in_batches(x: Tensor, folder: Path, rows_per_batch: int = 100) -> tuple[Tensor, Tensor]:
    folder.mkdir()
    return write_distinct_rows((part.numpy() for part in torch.split(x, rows_per_batch)), folder)


def test_a_full_disk_is_an_error_and_loses_no_rows(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # what a full disk does, to this process alone
    try:
        with pytest.raises(OSError, match="large"):
            write_distinct_rows(iter([np.random.default_rng(0).random((40, 384), np.float32)]), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_rows_in_a_file_are_the_distinct_ones_with_how_often_each_came(tmp_path: Path) -> None:
    x = torch.cat([make_clouds(300), make_clouds(100), make_clouds(300)[:7], torch.zeros(2, 16), -torch.zeros(1, 16)])
    rows, weights = write_in_batches(x, tmp_path / "a")
    expected, counts = torch.unique(x + 0.0, dim=0, return_counts=True)
    order = torch.from_numpy(np.lexsort(rows.numpy().T[::-1]))
    assert torch.equal(rows[order], expected)
    assert torch.equal(weights[order], counts)


def test_rows_in_a_file_do_not_depend_on_the_order_of_rows_nor_on_the_batches(tmp_path: Path) -> None:
    x = torch.cat([make_clouds(500), make_clouds(200)])
    in_one_batch = write_in_batches(x, tmp_path / "a", rows_per_batch=len(x))
    shuffled = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(9))]
    in_many_batches = write_in_batches(shuffled, tmp_path / "b", rows_per_batch=37)
    assert torch.equal(in_one_batch[0], in_many_batches[0])
    assert torch.equal(in_one_batch[1], in_many_batches[1])


def test_rows_that_are_not_finite_or_of_several_dimensions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 of 3 vectors hold NaN or infinity"):
        write_in_batches(torch.tensor([[1.0], [float("nan")], [2.0]]), tmp_path / "a", rows_per_batch=1)
    with pytest.raises(ValueError, match="of 3 dimensions, those before of 2"):
        write_distinct_rows(iter([np.ones((2, 2), np.float32), np.ones((2, 3), np.float32)]), tmp_path / "a")
    with pytest.raises(ValueError, match="no vector"):
        write_distinct_rows(iter([]), tmp_path / "a")


def test_rows_in_memory_are_the_distinct_ones_with_how_often_each_came() -> None:
    x = torch.cat([make_clouds(300), make_clouds(100), torch.zeros(2, 16), -torch.zeros(1, 16)])
    rows, counts, owner = find_distinct_rows(x)
    assert len(rows) == len(torch.unique(x + 0.0, dim=0))
    assert torch.equal(rows[owner], x)
    assert torch.equal(counts, torch.bincount(owner))


def test_repeats_are_dropped_in_the_order_that_rows_come_in() -> None:
    x = make_clouds(50)
    assert torch.equal(drop_repeats(torch.cat([x, x.flip(0), x[:7]])), x)
    assert drop_repeats(x[:0]).shape == (0, 16)
