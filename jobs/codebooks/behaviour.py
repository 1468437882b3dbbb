"""The item vectors in gold.item_behaviour: what the users who acted on an item say about it."""

from datetime import date
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import torch
from numpy.typing import NDArray
from torch import Tensor

from jobs.encoders.vectors import vectors_matrix
from jobs.lake import Lake, UserError
from models.ranker.histories import Int64s

TABLE = "gold.item_behaviour"
DIM = 64
VERSION = f"lightgcn-{DIM}"


class ItemBehaviour(NamedTuple):
    """The vectors of a day. Items on which nobody acted have none."""

    item_ids: pa.Array
    vectors: Tensor  # [items, dim] float32
    since: NDArray[np.datetime64]  # [items] since when each item has had such a vector every day

    def find_rows(self, item_ids: pa.Array) -> Int64s:
        """The row [item_ids] of each item, -1 for an item without a vector."""
        return np.asarray(pc.fill_null(pc.index_in(item_ids, self.item_ids), -1).to_numpy(), dtype=np.int64)

    def place(self, item_ids: pa.Array) -> Tensor:
        """The vector of each item [item_ids, dim], 0 for an item without one."""
        row = torch.from_numpy(self.find_rows(item_ids))
        return torch.where((row >= 0).unsqueeze(1), self.vectors[row], 0.0)


def load_behaviour(lake: Lake, day: date) -> ItemBehaviour:
    """The vectors that a day has in gold.item_behaviour. raises UserError if they are damaged"""
    where = (ds.field("behaviour_version") == VERSION) & (ds.field("day") == day)
    rows = lake.arrow(TABLE, ["item_id", "vector", "since"], where).combine_chunks()
    vectors = torch.from_numpy(vectors_matrix(rows["vector"].combine_chunks(), TABLE).copy())
    if vectors.shape[1] != DIM or not bool(vectors.isfinite().all()):
        raise UserError(
            f"a vector of {day} in {TABLE} does not hold {DIM} finite numbers; restore the table, or delete this day"
        )
    return ItemBehaviour(rows["item_id"].combine_chunks(), vectors, rows["since"].to_numpy())
