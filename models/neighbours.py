"""The most similar items of every item: all pairs compared, or in large catalogues only items of near clusters."""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.precision import device

Int64s = NDArray[np.int64]
# items [n], k -> places of the nearest items among the known ones [n, k], filled up with -1
Search = Callable[[Tensor, int], Tensor]
ITEMS_AT_ONCE = 512
# Comparing all pairs costs the square of their number. A GPU does it for a million items in minutes.
EXACT_UP_TO = {"cpu": 50_000, "cuda": 1_000_000}
# There are 4 sqrt(items) clusters; the nearest ones are searched. bench/neighbours.py measures their recall.
SEARCHED, TRAINED_ON = 64, 64  # clusters, and items that train each


def find_neighbours(vectors: Tensor, count: int, *, exact_up_to: int | None = None) -> Int64s:
    """The most similar items of every item by inner product, without the item itself.

    vectors      [items, dim] float32; an item with zeros has no vector: it has no neighbours and is no neighbour
    exact_up_to  most items of which all pairs are compared, by default `EXACT_UP_TO`; with more, some neighbours are
                 missed
    returns      [items, min(count, items - 1)] int64, most similar first, filled up with -1
    """
    count = min(count, len(vectors) - 1)
    if count < 1:
        return np.zeros((len(vectors), 0), np.int64)
    known = vectors.any(dim=1).nonzero().flatten()
    is_small = len(known) <= (EXACT_UP_TO[device()] if exact_up_to is None else exact_up_to)
    neighbours = np.full((len(vectors), count), -1)
    if len(known):
        search = (_search_all if is_small else _search_clusters)(vectors, known)
        for items in torch.split(known, ITEMS_AT_ONCE):
            near = search(items, min(count + 1, len(known)))  # the item may be among them
            near = known[near].where((near >= 0) & (known[near] != items[:, None]), -1)
            near = near.gather(1, (near < 0).sort(dim=1, stable=True).indices)[:, :count]
            neighbours[items, : near.shape[1]] = near
    return neighbours


def _search_all(vectors: Tensor, known: Tensor) -> Search:
    compared = vectors[known].to(device())
    return lambda items, k: (vectors[items].to(device()) @ compared.T).topk(k, dim=1).indices.cpu()


def _search_clusters(vectors: Tensor, known: Tensor) -> Search:
    """An index (faiss's IVF) with 8 bits for each number, so that it takes a quarter of the vectors' memory."""
    import faiss  # slow to import, and small catalogues need none

    dim, n_clusters = vectors.shape[1], min(round(4 * math.sqrt(len(known))), len(known))
    eight_bits, metric = faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexIVFScalarQuantizer(faiss.IndexFlatIP(dim), dim, n_clusters, eight_bits, metric)
    chosen = torch.randperm(len(known), generator=torch.Generator().manual_seed(0))[: TRAINED_ON * n_clusters]
    index.cp.min_points_per_centroid = 1  # no warning about small catalogues
    index.train(vectors[known[chosen.sort().values]].numpy())
    for items in torch.split(known, 1 << 16):
        index.add(vectors[items].numpy())
    index.nprobe = SEARCHED
    return lambda items, k: torch.from_numpy(index.search(vectors[items].numpy(), k)[1])
