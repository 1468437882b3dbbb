"""The users that models learn from and are measured on: all, or the `[logs] user_share` of them.

A hash of the ID chooses them. So a user is in the sample on every day or on none, whatever happens later, and a larger
share only adds users.
"""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs.lake.duckdb_connection import shared_duckdb

Part = TypeVar("Part", pa.RecordBatch, pa.Table)
DIGITS = 8  # of the hash, hexadecimal
# In SQL, with the parameter `user_bound(share)`.
IS_SAMPLED = f"(:user_bound = 'g' OR left(md5(user_id), {DIGITS}) < :user_bound)"


def user_bound(share: float) -> str:
    """The lowest hash that does not belong to the sample."""
    bound = round(share * 16**DIGITS)
    return f"{bound:0{DIGITS}x}" if bound < 16**DIGITS else "g"  # every digit is less than g


def keep_sampled(share: float, parts: Iterable[Part]) -> Iterator[Part]:
    """The rows of users in the sample, from parts with the column user_id."""
    for part in parts:
        yield part if share == 1 else part.filter(pa.array(are_sampled(share, part["user_id"])))


def are_sampled(share: float, users: pa.Array | pa.ChunkedArray) -> NDArray[np.bool_]:
    """Whether each user [users] is in the sample. An unknown user (null) is in it only if the share is 1."""
    if share == 1:
        return np.ones(len(users), bool)
    # DuckDB hashes the users of a batch in a quarter of the time that Python takes.
    bound: dict[str, Any] = {"user_bound": user_bound(share)}
    with shared_duckdb().cursor() as connection:
        connection.register("users", pa.table({"user_id": pc.unique(users).drop_null()}))
        text = f"SELECT user_id FROM users WHERE {IS_SAMPLED}".replace(":", "$")
        chosen = connection.sql(text, params=bound).to_arrow_table()["user_id"]
    return np.asarray(pc.is_in(users, chosen).to_numpy(zero_copy_only=False))
