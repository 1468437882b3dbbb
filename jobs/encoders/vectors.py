"""Item vectors: as Arrow columns and as matrices, and read from gold.item_embeddings."""

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from jobs.lake import Lake, UserError
from models.arrays_in_files import file_backed_zeros


def vectors_column(vectors: NDArray[np.float32]) -> pa.ListArray:
    """[rows, dim] float32 as an Arrow list column, without a copy."""
    rows, dim = vectors.shape
    offsets = np.arange(0, (rows + 1) * dim, dim or 1, dtype=np.int32)[: rows + 1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.ascontiguousarray(vectors).reshape(-1)))


def vectors_matrix(column: pa.ListArray, table: str = "gold.item_embeddings") -> NDArray[np.float32]:
    """A list column of a table as [rows, dim] float32. raises UserError if its vectors have different lengths"""
    if len(lengths := pc.unique(pc.list_value_length(column))) > 1:
        raise UserError(f"{table} has vectors of {lengths.to_pylist()} numbers for one version")
    flat: NDArray[np.float32] = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    return flat.reshape(len(column), -1)


def current_vectors(lake: Lake, encoder_version: str) -> tuple[list[str], NDArray[np.float32]]:
    """Item ids and vectors as in `dated_vectors`."""
    return dated_vectors(lake, encoder_version)[:2]


def dated_vectors(
    lake: Lake, encoder_version: str, until: date | None = None
) -> tuple[list[str], NDArray[np.float32], NDArray[np.datetime64]]:
    """The vector of every item's present text, sorted by item_id. Items without such a vector are left out.

    Vectors are streamed into a temporary file without a name, so that they need not fit into memory.

    until    leave out vectors of later days
    returns  item ids; [items, dim] float32, mapped from that file, which is deleted with the array; the day [items] of
             each vector
    raises   OSError if the temporary folder has no room for the vectors
    """
    table, where = "gold.item_embeddings", ds.field("encoder_version") == encoder_version
    where = where & (ds.field("day") <= until) if until else where
    version = lake.delta(table).version()
    columns = ["item_id", "content_hash", "day"]
    rows = lake.arrow(table, columns, where, version)
    rows = rows.append_column("row", pa.array(np.arange(rows.num_rows)))
    present = rows.join(lake.arrow("silver.items", columns[:2]), columns[:2], join_type="inner")
    present = present.sort_by([("item_id", "ascending"), ("day", "descending")])
    ids = present["item_id"].to_pylist()  # an item that was embedded again by force occurs twice: the newest counts
    is_newest = np.array([item != previous for item, previous in zip(ids, [None, *ids], strict=False)], bool)
    place = np.full(rows.num_rows, -1)
    place[present["row"].to_numpy()[is_newest]] = np.arange(is_newest.sum())
    vectors, first = np.zeros((0, 0), np.float32), 0
    for batch in lake.batches(table, ["item_id", "vector"], where, version):
        if not batch.num_rows:
            continue
        part, places = vectors_matrix(batch["vector"]), place[first : first + batch.num_rows]
        if not rows["item_id"][first : first + batch.num_rows].combine_chunks().equals(batch["item_id"]):
            raise RuntimeError(f"two reads of {table} returned its rows in different orders")
        vectors = vectors if first else file_backed_zeros((int(is_newest.sum()), part.shape[1]), np.dtype(np.float32))
        if (dim := vectors.shape[1]) != part.shape[1]:
            raise UserError(f"{table} has vectors of {dim} and of {part.shape[1]} numbers by {encoder_version}")
        vectors[places[places >= 0]] = part[places >= 0]
        first += batch.num_rows
    days = present["day"].to_numpy()[is_newest]
    return [item for item, newest in zip(ids, is_newest, strict=True) if newest], vectors, days
