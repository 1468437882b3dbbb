"""The catalogue as tensors: items, their vectors, their semantic IDs."""

from collections.abc import Set

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from numpy.typing import NDArray

from jobs.lake import Lake


def vectors_column(vectors: NDArray[np.float32]) -> pa.ListArray:
    """[rows, dim] float32 as an Arrow list column, without a copy."""
    rows, dim = vectors.shape
    offsets = np.arange(0, (rows + 1) * dim, dim or 1, dtype=np.int32)[: rows + 1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.ascontiguousarray(vectors).reshape(-1)))


def vectors_matrix(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """An Arrow list column as [rows, dim] float32."""
    if len(column) == 0:
        return np.zeros((0, 0), np.float32)
    flat = np.concatenate([chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks])
    return flat.reshape(len(column), -1).astype(np.float32, copy=False)


def among(batch: pa.RecordBatch, key: list[str], wanted: Set[tuple[str, ...]]) -> pa.RecordBatch:
    """The rows whose key is wanted, at a cost that does not grow with what is wanted: a join would, in each batch."""
    found = zip(*(batch[name].to_pylist() for name in key), strict=True)
    return batch.filter(pa.array([one in wanted for one in found], pa.bool_()))


def current_vectors(lake: Lake, encoder_version: str) -> tuple[list[str], NDArray[np.float32]]:
    """The vector of every item's present text, sorted by item_id.

    returns  item ids, and [items, dim] float32; items that are not embedded yet are left out
    """
    items = lake.arrow("silver.items", ["item_id", "content_hash"])
    mine = ds.field("encoder_version") == encoder_version
    table = lake.arrow("gold.item_embeddings", ["item_id", "content_hash", "vector", "day"], mine)
    rows = table.drop_columns("vector").append_column("row", pa.array(np.arange(table.num_rows)))
    found = rows.join(items, ["item_id", "content_hash"], join_type="inner")
    found = found.sort_by([("item_id", "ascending"), ("day", "descending")])
    ids = found["item_id"].to_pylist()  # what was embedded again by force is there twice: the newest counts
    found = found.filter(pa.array([one != before for one, before in zip(ids, [None, *ids], strict=False)], pa.bool_()))
    vectors = vectors_matrix(table["vector"])
    order = found["row"].to_numpy()
    return found["item_id"].to_pylist(), vectors[order] if len(order) else vectors[:0]


def semantic_ids(lake: Lake, codebook_version: str) -> tuple[list[str], NDArray[np.int64]]:
    """Every item's codes in a codebook version, sorted by item_id.

    returns  item ids, and [items, 3] int64
    """
    columns = ["item_id", "c1", "c2", "c3"]
    rows = lake.arrow("gold.semantic_ids", columns, ds.field("codebook_version") == codebook_version)
    rows = rows.sort_by("item_id")
    codes = np.stack([rows[c].to_numpy().astype(np.int64) for c in columns[1:]], axis=1)
    return rows["item_id"].to_pylist(), codes
