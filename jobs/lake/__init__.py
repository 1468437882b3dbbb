"""The tables: Spark session, Delta tables, contracts, run ledger, entry point."""

from jobs.lake.errors import UserError
from jobs.lake.lake import Lake, Written, files_of
from jobs.lake.literals import days_between

__all__ = ["Lake", "UserError", "Written", "days_between", "files_of"]
