"""Give items their semantic IDs, and read the IDs that items have."""

from datetime import date
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import torch
from numpy.typing import NDArray
from torch import Tensor

from jobs.codebooks.catalogue import Catalogue
from jobs.lake import Lake, UserError
from jobs.lake.contracts import contracts
from jobs.runtime.progress import progress
from models.quantizers import Codebook, format_sids, measure_rebuild_errors
from models.quantizers.twins import number_twins

IDS = "gold.semantic_ids"
CODES = ["c1", "c2", "c3"]
_ROWS = 1 << 16  # items encoded at once


def give_ids(lake: Lake, catalogue: Catalogue, codebook: Codebook, version: str, day: date, *, spark_parts: int) -> int:
    """Give an ID to every item that has none in a codebook version yet.

    spark_parts  encode vectors of text on Spark's executors in this many parts; 0: in this process
    returns      how many items got an ID
    """
    of_version = ds.field("codebook_version") == version
    read_version = lake.delta(IDS).version()
    known = lake.arrow(IDS, ["item_id", *CODES, "twin"], of_version, read_version)
    new = np.flatnonzero(~pc.is_in(pa.array(catalogue.item_ids), known["item_id"]).to_numpy(zero_copy_only=False))
    if not len(new):
        return 0
    if spark_parts and catalogue.has_behaviour is None:
        from jobs.codebooks.encode_on_spark import give_ids_on_spark  # loads Spark

        give_ids_on_spark(lake, codebook.to_rows(), catalogue.encoder, version, day, spark_parts)
        return len(new)
    codes = _encode(codebook, catalogue.vectors, new)
    twins = number_twins(codes, _code_matrix(known), known["twin"].to_numpy().astype(np.int64))
    new_rows = _build_rows([catalogue.item_ids[item] for item in new], codes, twins, version, day)
    # If the day ran before, its rows stay and the new ones join them.
    days_rows = lake.arrow(IDS, where=of_version & (ds.field("day") == day), version=read_version)
    rows = pa.concat_tables([days_rows.cast(contracts()[IDS].arrow), new_rows])
    lake.replace(IDS, rows, computed_at=read_version, codebook_version=version, day=day)
    return len(new)


def _encode(codebook: Codebook, vectors: Tensor, items: NDArray[np.int64]) -> NDArray[np.int64]:
    """The codes [items, 3] of these rows of the vectors."""
    report_progress = progress("giving IDs")
    codes = np.empty((len(items), len(CODES)), np.int64)
    for first in range(0, len(items), _ROWS):
        codes[first : first + _ROWS] = codebook.encode(vectors[items[first : first + _ROWS]]).numpy()
        report_progress(min(first + _ROWS, len(items)), len(items))
    return codes


def _build_rows(
    item_ids: list[str], codes: NDArray[np.int64], twins: NDArray[np.int64], version: str, day: date
) -> pa.Table:
    count, sids = len(item_ids), format_sids(torch.from_numpy(codes))
    unique_sids = [f"{sid}<d_{twin}>" for sid, twin in zip(sids, twins.tolist(), strict=True)]
    columns = [item_ids, [version] * count, *codes.T, sids, twins, unique_sids, [day] * count]
    return pa.table(dict(zip(contracts()[IDS].names, columns, strict=True)), contracts()[IDS].arrow)


def _code_matrix(rows: pa.Table) -> NDArray[np.int64]:
    """The codes [rows, 3] of rows of the table."""
    return np.stack([rows[code].to_numpy() for code in CODES], axis=1).astype(np.int64)


def load_semantic_ids(
    lake: Lake, codebook_version: str, where: ds.Expression | None = None
) -> tuple[list[str], NDArray[np.int64]]:
    """Load the codes of all items in a codebook version, sorted by item_id.

    where    read only the rows of which this is true
    returns  item ids, and [items, 3] int64
    """
    of_version = ds.field("codebook_version") == codebook_version
    rows = lake.arrow(IDS, ["item_id", *CODES], of_version if where is None else of_version & where)
    rows = rows.sort_by("item_id")
    return rows["item_id"].to_pylist(), _code_matrix(rows)


class PublishedIDs(NamedTuple):
    """The IDs of a catalogue's items in a codebook version. An item's vector may be newer than its ID."""

    codes: Tensor  # [items, 3] int64
    days: NDArray[np.datetime64]  # [items] the day that each item got its ID
    is_current: NDArray[np.bool_]  # [items] whether the item still has the vector that it got its ID with
    errors: Tensor  # [items] float64: mean squared error of the present vector rebuilt from the ID
    is_shared: NDArray[np.bool_]  # [items] whether another item of the catalogue has the same ID
    newest_day: date  # the last day on which this version gave any item an ID


def load_published_ids(lake: Lake, catalogue: Catalogue, codebook: Codebook, version: str) -> PublishedIDs:
    """Load the ID of every item of the catalogue; each must have one.

    raises  UserError if an ID holds a code that the codebook does not have
    """
    rows = lake.arrow(IDS, ["item_id", *CODES, "day"], ds.field("codebook_version") == version)
    row_of_item = pc.index_in(pa.array(catalogue.item_ids), rows["item_id"]).to_numpy()
    codes = torch.from_numpy(_code_matrix(rows)[row_of_item])
    _, bucket, bucket_sizes = np.unique(codes.numpy(), axis=0, return_inverse=True, return_counts=True)
    try:
        errors = measure_rebuild_errors(catalogue.vectors, codes, codebook.decode)
    except ValueError as error:
        raise UserError(
            f"gold.semantic_ids of {version} is damaged ({error}); restore it to an earlier version"
        ) from None
    days = rows["day"].to_numpy()[row_of_item]
    is_shared = np.asarray(bucket_sizes[bucket] > 1)
    return PublishedIDs(
        codes, days, catalogue.embedded_on <= days, errors, is_shared, newest_day=pc.max(rows["day"]).as_py()
    )
