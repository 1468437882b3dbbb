"""DuckDB inside a job: one way to open it, with limits that let several tasks share a machine."""

import tempfile

import duckdb

LIMITS: dict[str, str | int] = {"memory_limit": "4GB", "threads": 2}


# in quotes, so that no reference to DuckDB's type is left at exit: DuckDB reports such references as leaks
def open_duckdb() -> "duckdb.DuckDBPyConnection":
    """Open an empty DuckDB in memory, in UTC. What does not fit in its memory goes to the temporary folder."""
    connection = duckdb.connect(config={**LIMITS, "temp_directory": tempfile.gettempdir()})
    connection.execute("SET TimeZone = 'UTC'")
    return connection
