"""What users did, in arrays: the input of everything that `generate` computes."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Self

import numpy as np
import pyarrow as pa

from jobs.lake import Lake
from jobs.ranking.histories import load_histories_of
from jobs.ranking.items import ItemIndex, load_item_ids
from jobs.settings.tree import Settings
from models.ranker.histories import Histories, Int64s


@dataclass(frozen=True)
class Behaviour:
    """What users clicked, bought or liked. A cancelled purchase counts only until its cancel.

    items  item IDs by index
    users  user IDs by index, sorted
    """

    items: ItemIndex
    users: pa.Array
    histories: Histories

    @classmethod
    def load(cls, lake: Lake, settings: Settings, last: date, users: pa.Array) -> Self:
        """What these users did until the end of the day `last`."""
        items = ItemIndex(load_item_ids(lake))
        return cls(items, users, load_histories_of(lake, settings, items, last, users))

    def ends(self, day: date) -> Int64s:
        """Where the history of each user [users] ends at the end of a day."""
        users = np.arange(len(self.users))
        return self.histories.ends(users, np.full(len(users), midnight_after(day)))


def midnight_after(day: date) -> int:
    """The end of a day, as microseconds since 1970."""
    return int(np.datetime64(day + timedelta(days=1), "us").astype(np.int64))
