"""DuckDB inside a job: one way to open it, with limits that let several tasks share a machine."""

import atexit
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache

import duckdb
import pyarrow as pa
import sqlglot
import xxhash
from duckdb.func import FunctionNullHandling, PythonUDFType
from sqlglot import ErrorLevel

# Functions that Spark has under other names, so that a query can be written for both.
SPARK_FUNCTIONS = """
CREATE MACRO sha2(text, bits) AS sha256(text);
CREATE MACRO array_join(list, separator) AS array_to_string(list, separator);
CREATE MACRO pmod(number, modulus) AS (number % modulus + modulus) % modulus;
"""
LIMITS: dict[str, str | int] = {"memory_limit": "4GB", "threads": 2}
HASH, SEED = "xxhash64", 42  # of Spark


@contextmanager
def open_duckdb() -> "Iterator[duckdb.DuckDBPyConnection]":
    """Open an empty DuckDB in memory, in UTC. What does not fit in its memory goes to the temporary folder."""
    with ExitStack() as at_end:
        connection = duckdb.connect(config={**LIMITS, "temp_directory": tempfile.gettempdir()})
        at_end.callback(connection.close)
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(SPARK_FUNCTIONS)
        connection.create_function(
            HASH, _hash_as_spark, None, "bigint", type=PythonUDFType.ARROW, null_handling=FunctionNullHandling.SPECIAL
        )
        at_end.callback(connection.remove_function, HASH)  # otherwise DuckDB reports a leak when the process ends
        yield connection


@cache
def shared_duckdb() -> "duckdb.DuckDBPyConnection":
    """One such DuckDB for small queries, which stays open until the process ends. Use a cursor of it."""
    at_end = ExitStack()
    atexit.register(at_end.close)
    return at_end.enter_context(open_duckdb())


@cache
def translate(text: str) -> str:
    """Write Spark's SQL as DuckDB's. Parameters are then named as DuckDB does, such as `$day`.

    raises  UnsupportedError if DuckDB cannot say the same
    """
    query = sqlglot.parse_one(text, read="spark")
    for hint in list(query.find_all(sqlglot.exp.Hint)):  # it says how Spark should compute, not what
        hint.pop()
    return query.sql(dialect="duckdb", unsupported_level=ErrorLevel.RAISE)


def _hash_as_spark(*columns: pa.Array) -> pa.Array:
    """Spark's `xxhash64` of texts and 32-bit integers [rows]. The seed of each value is the hash of those before it."""
    hashes = [SEED] * len(columns[0])
    for column in columns:
        hashes = [
            seed if value is None else xxhash.xxh64_intdigest(_to_bytes(value), seed)
            for value, seed in zip(column.to_pylist(), hashes, strict=True)
        ]
    return pa.array([number - (number >> 63 << 64) for number in hashes], pa.int64())


def _to_bytes(value: str | int) -> bytes:
    return value.encode() if isinstance(value, str) else value.to_bytes(4, "little", signed=True)
