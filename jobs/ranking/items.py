"""The items of the shop as arrays: an index for each item ID, and the features that ranker and search read."""

from dataclasses import dataclass
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from jobs.codebooks.ids import load_semantic_ids
from jobs.encoders.vectors import current_vectors
from jobs.lake import Lake
from jobs.lake.arrow import distinct_strings
from jobs.settings.tree import Settings
from models.ranker import gsu
from models.ranker.histories import Int64s


@dataclass(frozen=True)
class ItemIndex:
    """Item IDs, sorted. An item's index is its position."""

    ids: pa.Array

    def index_of(self, item_ids: pa.Array | pa.ChunkedArray) -> Int64s:
        """The index of each item, -1 for an unknown item."""
        index = pc.fill_null(pc.index_in(item_ids, self.ids), -1)
        return np.asarray(index.to_numpy(zero_copy_only=False), dtype=np.int64)


@dataclass(frozen=True)
class ItemFeatures(ItemIndex):
    """Items with their features.

    vectors     [items, dim] that the GSU compares, zeros for an item without a vector
    codes       [items, 3] semantic IDs, -1 for an item without one
    categories  [items] number of the category, -1 for an item without one
    """

    vectors: torch.Tensor
    codes: torch.Tensor
    codebook_version: str
    categories: torch.Tensor


def load_item_ids(lake: Lake) -> pa.Array:
    """The IDs of all items in silver.items or in the logs, sorted."""
    tables = (lake.batches(name, ["item_id"]) for name in ("silver.items", "silver.item_ids"))
    return distinct_strings(batch["item_id"] for batch in chain.from_iterable(tables))


def load_item_features(lake: Lake, settings: Settings, encoder_version: str, codebook_version: str) -> ItemFeatures:
    """The features of every item in silver.items or in the logs."""
    rows = lake.arrow("silver.items", ["item_id", "category"])
    ids = load_item_ids(lake)
    embedded_ids, vectors = current_vectors(lake, encoder_version)
    dim = min(settings.ranker.gsu_dim, *vectors.shape) if len(embedded_ids) else settings.ranker.gsu_dim
    item_vectors = torch.zeros(len(ids), dim)
    if embedded_ids:
        places = torch.tensor(pc.index_in(pa.array(embedded_ids), ids).to_numpy(), dtype=torch.int64)
        item_vectors[places] = gsu.pca(torch.from_numpy(vectors), dim)
    codes = load_codes(lake, ids, codebook_version)
    return ItemFeatures(ids, item_vectors, codes, codebook_version, _number_categories(ids, rows))


def _number_categories(ids: pa.Array, rows: pa.Table) -> torch.Tensor:
    """The number [items] of each item's category, its whole path from broad to narrow; -1 for an item without one."""
    paths = [" > ".join(filter(None, names or [])) or None for names in rows["category"].to_pylist()]
    coded = pa.array(paths, pa.string()).dictionary_encode()
    numbers = torch.full((len(ids),), -1, dtype=torch.int64)
    places = torch.tensor(pc.index_in(rows["item_id"], ids).to_numpy(), dtype=torch.int64)
    numbers[places] = torch.tensor(pc.fill_null(coded.indices, -1).to_numpy()).long()
    return numbers


def load_codes(lake: Lake, ids: pa.Array, codebook_version: str) -> torch.Tensor:
    """The codes [items, 3] of the items in a codebook version, -1 for an item without codes."""
    coded_ids, codes = load_semantic_ids(lake, codebook_version)
    item_codes = torch.full((len(ids), 3), -1, dtype=torch.int64)
    places = pc.index_in(pa.array(coded_ids, pa.string()), ids)
    is_known = pc.is_valid(places).to_numpy(zero_copy_only=False)
    item_codes[torch.tensor(places.drop_null().to_numpy(), dtype=torch.int64)] = torch.from_numpy(codes[is_known])
    return item_codes
