"""The users that models learn from and are measured on: all, or a sample of them if there are very many."""

from datetime import date
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from jobs.lake import Lake
from jobs.settings.tree import Settings

# A user stays in the sample from day to day, unless the number of users changes.
_USERS = """
SELECT user_id, count(*) AS n_rows FROM dataset WHERE day >= :first AND day <= :day AND {condition}
GROUP BY user_id ORDER BY md5(user_id) LIMIT :most
"""


class ModelUsers(NamedTuple):
    """IDs [users], sorted; the number of their rows; and whether there may be more users."""

    ids: pa.Array
    rows: int
    is_sample: bool

    def select(self, part: pa.Table) -> pa.Table:
        """The rows of these users."""
        return part.filter(pc.is_in(part["user_id"], self.ids)) if self.is_sample else part


def choose_model_users(
    lake: Lake, settings: Settings, dataset: ds.Dataset, first: date, day: date, condition: str = "TRUE"
) -> ModelUsers:
    """Choose `[logs] model_users` of the users who have rows from the day `first` to `day`, or all if they are fewer.

    dataset    rows with `user_id` and `day`; no user is null
    condition  SQL: which rows count
    """
    most = settings.logs.model_users
    users = lake.query(_USERS.format(condition=condition), {"dataset": dataset}, first=first, day=day, most=most)
    ids = users["user_id"].combine_chunks()
    return ModelUsers(ids.take(pc.sort_indices(ids)), pc.sum(users["n_rows"]).as_py() or 0, len(ids) == most)
