"""The nearest centroid of each row."""

import pytest
import torch
from torch import Tensor

from models.quantizers.nearest import NearestCentroid, assign
from models.quantizers.nearest_bfloat16 import Bfloat16NearestCentroid
from tests.models.quantizers.clouds import make_clouds


def find_by_distances(x: Tensor, centroids: Tensor) -> Tensor:
    """The nearest codes, from all distances at once."""
    return (x[:, None].double() - centroids.double()).square().sum(2).argmin(1)


@pytest.mark.parametrize("codes", [1, 31, 32, 33, 200])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_nearest_centroid_is_the_one_at_the_least_distance(codes: int, dtype: torch.dtype) -> None:
    x = make_clouds(700).to(dtype)
    assert torch.equal(assign(x, x[:codes]), find_by_distances(x, x[:codes]))


def test_of_equally_near_centroids_the_lower_code_is_taken() -> None:
    x = torch.randint(-3, 4, (500, 3), generator=torch.Generator().manual_seed(2)).float()
    centroids = x[:100].repeat(2, 1)
    assert torch.equal(assign(x, centroids), find_by_distances(x, centroids))


@pytest.mark.parametrize("shift", [0.0, 20.0])
def test_the_bfloat16_product_gives_the_codes_and_distances_of_float32(shift: float) -> None:
    x = make_clouds(5000, dim=64) + shift
    codes, distances = NearestCentroid(x[:300]).find(x)
    quick_codes, rough_distances = Bfloat16NearestCentroid(x[:300], 1.0, x[:500]).find(x)
    assert torch.equal(quick_codes, codes)
    assert torch.allclose(rough_distances, distances, rtol=0.1, atol=0.5 + 0.02 * shift**2)


def test_no_rows_get_no_codes() -> None:
    assert assign(torch.empty(0, 4), torch.ones(3, 4)).shape == (0,)
