"""The catalogue by index: what histories, the ranker and recommendations look at."""

from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from jobs.encoders.vectors import current_vectors, semantic_ids
from jobs.lake import Lake
from jobs.lake.arrow import distinct_strings
from jobs.settings.tree import Settings
from models.ranker import gsu

Ints = NDArray[np.int64]
Part = TypeVar("Part", pa.Array, pa.Table)


@dataclass(frozen=True)
class Items:
    """Items by index: ids sorted."""

    ids: pa.Array

    def index(self, item_ids: pa.Array | pa.ChunkedArray) -> Ints:
        """Index of each item, -1 if it has none."""
        found = pc.fill_null(pc.index_in(item_ids, self.ids), -1)
        return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64)


@dataclass(frozen=True)
class ItemFeatures(Items):
    """Items with what is known of each.

    vectors     [items, dim] that the GSU compares, 0 where there is none
    codes       [items, 3], -1: none
    categories  [items], -1: none
    """

    vectors: torch.Tensor
    codes: torch.Tensor
    codebook_version: str
    categories: torch.Tensor


def load_item_features(lake: Lake, settings: Settings, encoder_version: str, codebook_version: str) -> ItemFeatures:
    """Every item that silver.items or the logs know."""
    rows = lake.arrow("silver.items", ["item_id", "category"])
    seen = (batch["item_id"] for batch in lake.batches("silver.events", ["item_id"]))
    ids = distinct_strings(chain(rows["item_id"].chunks, seen))
    embedded, vectors = current_vectors(lake, encoder_version)
    dim = min(settings.ranker.gsu_dim, *vectors.shape) if len(embedded) else settings.ranker.gsu_dim
    full = torch.zeros(len(ids), dim)
    if embedded:
        place = torch.tensor(pc.index_in(pa.array(embedded), ids).to_numpy(), dtype=torch.int64)
        full[place] = gsu.pca(torch.from_numpy(vectors), dim)
    codes = load_codes(lake, ids, codebook_version)
    return ItemFeatures(ids, full, codes, codebook_version, _categories(ids, rows))


def _categories(ids: pa.Array, rows: pa.Table) -> torch.Tensor:
    """Number [items] of each item's category, from broad to narrow; -1: it has none."""
    paths = [" > ".join(filter(None, names or [])) or None for names in rows["category"].to_pylist()]
    coded = pa.array(paths, pa.string()).dictionary_encode()
    found = torch.full((len(ids),), -1, dtype=torch.int64)
    place = torch.tensor(pc.index_in(rows["item_id"], ids).to_numpy(), dtype=torch.int64)
    found[place] = torch.tensor(pc.fill_null(coded.indices, -1).to_numpy()).long()
    return found


def load_codes(lake: Lake, ids: pa.Array, codebook_version: str) -> torch.Tensor:
    """Codes [items, 3] of the items in a codebook version, -1 where an item has none."""
    coded, codes = semantic_ids(lake, codebook_version)
    full = torch.full((len(ids), 3), -1, dtype=torch.int64)
    rows = pc.index_in(pa.array(coded, pa.string()), ids)
    inside = pc.is_valid(rows).to_numpy(zero_copy_only=False)
    full[torch.tensor(rows.drop_null().to_numpy(), dtype=torch.int64)] = torch.from_numpy(codes[inside])
    return full
