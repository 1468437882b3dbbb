"""The catalogue in tables: items, their vectors, their semantic IDs."""

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from jobs.lake import Lake, UserError
from jobs.lake.arrow import file_backed_zeros


def vectors_column(vectors: NDArray[np.float32]) -> pa.ListArray:
    """[rows, dim] float32 as an Arrow list column, without a copy."""
    rows, dim = vectors.shape
    offsets = np.arange(0, (rows + 1) * dim, dim or 1, dtype=np.int32)[: rows + 1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.ascontiguousarray(vectors).reshape(-1)))


def vectors_matrix(column: pa.ListArray) -> NDArray[np.float32]:
    """An Arrow list column as [rows, dim] float32. raises UserError if they are not of one length"""
    if len(lengths := pc.unique(pc.list_value_length(column))) > 1:
        raise UserError(f"gold.item_embeddings holds vectors of {lengths.to_pylist()} numbers for one encoder version")
    flat: NDArray[np.float32] = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    return flat.reshape(len(column), -1)


def current_vectors(lake: Lake, encoder_version: str) -> tuple[list[str], NDArray[np.float32]]:
    """Items and vectors of `dated_vectors`."""
    return dated_vectors(lake, encoder_version)[:2]


def dated_vectors(
    lake: Lake, encoder_version: str, until: date | None = None
) -> tuple[list[str], NDArray[np.float32], NDArray[np.datetime64]]:
    """The vector of every item's present text, sorted by item_id.

    Vectors are read as a stream into a nameless file, so that they need not fit in memory.

    until    leave out what was embedded for later days
    returns  item ids; [items, dim] float32, mapped from that file, which goes when the array does; the day [items] that
             each was embedded for; items that are not embedded yet are left out
    raises   OSError if the temporary folder has no room for them
    """
    table, mine = "gold.item_embeddings", ds.field("encoder_version") == encoder_version
    mine = mine & (ds.field("day") <= until) if until else mine
    version = lake.delta(table).version()
    keys = ["item_id", "content_hash", "day"]
    rows = lake.arrow(table, keys, mine, version)
    rows = rows.append_column("row", pa.array(np.arange(rows.num_rows)))
    found = rows.join(lake.arrow("silver.items", keys[:2]), keys[:2], join_type="inner")
    found = found.sort_by([("item_id", "ascending"), ("day", "descending")])
    ids = found["item_id"].to_pylist()  # what was embedded again by force is there twice: the newest counts
    newest = np.array([one != before for one, before in zip(ids, [None, *ids], strict=False)], bool)
    place = np.full(rows.num_rows, -1)
    place[found["row"].to_numpy()[newest]] = np.arange(newest.sum())
    vectors, first = np.zeros((0, 0), np.float32), 0
    for batch in lake.batches(table, ["item_id", "vector"], mine, version):
        if not batch.num_rows:
            continue
        part, at = vectors_matrix(batch["vector"]), place[first : first + batch.num_rows]
        if not rows["item_id"][first : first + batch.num_rows].combine_chunks().equals(batch["item_id"]):
            raise RuntimeError(f"{table} was read twice and came in two orders")
        vectors = vectors if first else file_backed_zeros((int(newest.sum()), part.shape[1]), np.dtype(np.float32))
        if (dim := vectors.shape[1]) != part.shape[1]:
            raise UserError(f"{table} holds vectors of {dim} and of {part.shape[1]} numbers by {encoder_version}")
        vectors[at[at >= 0]] = part[at >= 0]
        first += batch.num_rows
    days = found["day"].to_numpy()[newest]
    return [one for one, new in zip(ids, newest, strict=True) if new], vectors, days


def semantic_ids(
    lake: Lake, codebook_version: str, where: ds.Expression | None = None
) -> tuple[list[str], NDArray[np.int64]]:
    """Every item's codes in a codebook version, sorted by item_id.

    where    only the rows of which this is true
    returns  item ids, and [items, 3] int64
    """
    columns = ["item_id", "c1", "c2", "c3"]
    mine = ds.field("codebook_version") == codebook_version
    rows = lake.arrow("gold.semantic_ids", columns, mine if where is None else mine & where)
    rows = rows.sort_by("item_id")
    codes = np.stack([rows[c].to_numpy().astype(np.int64) for c in columns[1:]], axis=1)
    return rows["item_id"].to_pylist(), codes
