"""Everything that touches storage: the Delta tables and their contracts, Spark, DuckDB and the SQL shell."""

from jobs.lake.errors import UserError
from jobs.lake.lake import JobResult, Lake
from jobs.lake.statements import day_range_predicate
from jobs.lake.store import arrow_dataset

__all__ = ["JobResult", "Lake", "UserError", "arrow_dataset", "day_range_predicate"]
