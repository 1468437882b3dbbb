"""How to read the files of one kind, as it travels to Spark's executors."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from jobs.runtime.executors import send_with_tasks


@dataclass(frozen=True)
class Reading:
    """How to read the files of one kind: a plain object, which travels to Spark's executors."""

    kind: str  # events or items
    fields: tuple[str, ...]
    sql: str  # sql/transforms/parse_<kind>.sql
    schema: pa.Schema  # of the rows to return
    dialect: dict[str, Any]  # of `Dialect`
    time_zone: str
    day_zone: str
    values: dict[str, Any]  # of the parameters of `sql`, apart from file and folder_day
    query: str  # of a preset: makes rows of lines, see jobs/landing/presets/README.md; empty: a line is a row


send_with_tasks(__name__)
