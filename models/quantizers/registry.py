"""The kinds of codebooks by name."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from models.quantizers.codebook import Codebook, Progress
from models.quantizers.nearest_items import NearestItems
from models.quantizers.parallel import ParallelKmeans
from models.quantizers.res_kmeans import BalancedResKmeans, ResKmeans
from models.quantizers.res_kmeans_fsq import ResKmeansFSQ
from models.quantizers.rows import Row, read_header
from models.quantizers.rq_vae import RQVAE

_TYPES: tuple[type[Codebook], ...] = (ResKmeansFSQ, ResKmeans, BalancedResKmeans, RQVAE, ParallelKmeans, NearestItems)
KINDS = {codebook.kind: codebook for codebook in _TYPES}


def fit(
    kind: str, x: Tensor, *, sizes: Sequence[int], seed: int, progress: Progress | None = None, **settings: Any
) -> Codebook:
    """Fit a codebook of a kind.

    x         [items, dim] float32
    sizes     codes per level
    progress  called with (steps done, steps in all)
    settings  further settings of the kind
    raises    ValueError if the kind is unknown, and whatever the kind's `fit` raises
    """
    return _get_type(kind).fit(x, sizes=sizes, seed=seed, progress=progress, **settings)


def from_rows(rows: Sequence[Row]) -> Codebook:
    """Read a codebook of any kind from its rows of gold.codebooks, in any order.

    raises  ValueError if they name no known kind, or a part or a row is missing
    """
    return _get_type(read_header(rows)[0]).from_rows(rows)


def _get_type(kind: str) -> type[Codebook]:
    if kind not in KINDS:
        raise ValueError(f"there is no codebook of kind {kind}; there are {', '.join(KINDS)}")
    return KINDS[kind]
