"""DuckDB inside a job: one way to open it, with limits that let several tasks share a machine."""

import tempfile

import duckdb

# Functions that Spark has under other names, so that a query can be written for both.
SPARK_FUNCTIONS = """
CREATE MACRO sha2(text, bits) AS sha256(text);
CREATE MACRO array_join(list, separator) AS array_to_string(list, separator);
"""
LIMITS: dict[str, str | int] = {"memory_limit": "4GB", "threads": 2}


# in quotes, so that no reference to DuckDB's type is left at exit: DuckDB reports such references as leaks
def open_duckdb() -> "duckdb.DuckDBPyConnection":
    """Open an empty DuckDB in memory, in UTC. What does not fit in its memory goes to the temporary folder."""
    connection = duckdb.connect(config={**LIMITS, "temp_directory": tempfile.gettempdir()})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(SPARK_FUNCTIONS)
    return connection
