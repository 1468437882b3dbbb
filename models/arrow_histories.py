"""Histories of users that come as rows of Arrow: each has a list of its events."""

import numpy as np
import pyarrow as pa

from models.ranker.histories import Histories


def read_histories(events: pa.ListArray) -> Histories:
    """From a list of (ts, seq, item, kind) for each user, in this order, or null. ts: microseconds since 1970"""
    values, counts = events.flatten(), events.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    ts, items, kinds = (values.field(name).to_numpy() for name in ("ts", "item", "kind"))
    return Histories(offsets, items.astype(np.int32), ts.astype(np.int64), kinds.astype(np.int8))


def save_ids(ids: pa.Array, file: str) -> None:
    """Write IDs into a file that `load_ids` reads without a copy."""
    table = pa.table({"id": ids})
    with pa.OSFile(file, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def load_ids(file: str) -> pa.Array:
    return pa.ipc.open_file(pa.memory_map(file)).read_all()["id"].combine_chunks()
