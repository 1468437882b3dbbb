"""Parquet files in blocks of rows, and which column types are allowed. Runs on Spark's executors, or in the job."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pyarrow.types as t
from pyarrow.fs import FileSystem
from pyarrow.lib import ArrowException

from jobs.lake.file_system import comes_from_store, open_file_system
from jobs.landing.text import BLOCK_BYTES, MAX_RATIO, Refusal
from jobs.runtime.executors import send_with_tasks

ROWS_AT_ONCE = 65_536
BATCH_BYTES = 16 << 20  # of text that is read at once
LARGE_DICTIONARY = 64 << 10  # bytes of a column from which on its dictionary may hold texts that fill the memory
ID = (t.is_string, t.is_large_string, t.is_integer, t.is_floating, t.is_decimal)
TEXT = (t.is_string, t.is_large_string, t.is_integer)
NUMBER = (t.is_integer, t.is_floating, t.is_decimal, t.is_string, t.is_large_string)
TIME = (t.is_timestamp, t.is_date, t.is_string, t.is_large_string, t.is_integer)
ALLOWED_TYPES = {  # field: tests of its Arrow type, one of which must pass, and what they accept in words
    **dict.fromkeys(("event_id", "user_id", "item_id", "request_id", "order_id"), (ID, "a string or a whole number")),
    **dict.fromkeys(("event", "title", "description", "image"), (TEXT, "a string")),
    **dict.fromkeys(("value", "price", "position", "seq"), (NUMBER, "a number")),
    **dict.fromkeys(("ts", "updated_at"), (TIME, "a timestamp, an ISO 8601 string or seconds since 1970")),
}
ID_FIELDS = ("event_id", "user_id", "item_id", "request_id", "order_id")
MAX_TIMES = {"s": 9 * 10**12, "ms": 9 * 10**15}  # DuckDB counts microseconds in 64 bits
EXACT_FLOAT = 2**53  # larger whole numbers are rounded in a float


def find_columns(names: list[str], fields: tuple[str, ...], columns: dict[str, str]) -> dict[str, str]:
    """Find the column of each field, without regard to capital letters and blanks around a name: field -> column."""
    known = {name.strip().lower(): name for name in names}
    wanted = {field: columns.get(field, field) for field in fields}
    return {
        field: name if name in names else known[name.lower()]
        for field, name in wanted.items()
        if name in names or name.lower() in known
    }


def check_schema(schema: pa.Schema, fields: tuple[str, ...], columns: dict[str, str]) -> None:
    """raises Refusal if column names repeat, or if a column has a type that is not allowed"""
    lower = [name.strip().lower() for name in schema.names]
    if not lower or len(set(lower)) < len(lower):
        raise Refusal(
            f"has the columns {schema.names}; expected at least one, and no name twice (capital and small letters count"
            " as the same); rename the columns and land it again"
        )
    for field, name in find_columns(schema.names, fields, columns).items():
        arrow_type = schema.field(name).type
        tests, expected = ALLOWED_TYPES.get(field, ((), ""))
        value_type = arrow_type.value_type if t.is_dictionary(arrow_type) else arrow_type
        if t.is_binary(value_type) or t.is_large_binary(value_type) or t.is_string_view(value_type):
            value_type = pa.string()
        if tests and not t.is_null(value_type) and not any(is_allowed(value_type) for is_allowed in tests):
            raise Refusal(
                f"has a column {name} of type {arrow_type}, expected {expected}; convert it and land it again"
            )


def read_parquet_blocks(
    path: str, first_group: int, groups: int, fields: tuple[str, ...], columns: dict[str, str]
) -> Iterator[dict[str, pa.Array]]:
    """Yield blocks of rows: `line` (from 1), `row` (a struct of all columns) and `problem` (text that is not UTF-8).

    groups  read this many row groups, from `first_group` on; 0: all
    raises  Refusal if the file cannot be read, or has a column of a type that is not allowed
    """
    try:
        store, path = open_file_system(path)
        file = pq.ParquetFile(path, filesystem=store, coerce_int96_timestamp_unit="us", page_checksum_verification=True)
        check_schema(file.schema_arrow, fields, columns)
        metadata = file.metadata
        last = first_group + groups if groups else metadata.num_row_groups
        number = 1 + sum(metadata.row_group(group).num_rows for group in range(first_group))
        int96 = {
            metadata.schema.column(n).path for n in range(len(metadata.schema))
            if metadata.schema.column(n).physical_type == "INT96"
        }  # fmt: skip
        used = find_columns(file.schema_arrow.names, fields, columns)
        ids = {name for field, name in used.items() if field in ID_FIELDS}
        for group in range(first_group, last):
            end = number + metadata.row_group(group).num_rows
            for batch in file.iter_batches(_count_rows_at_once(store, path, metadata, group), row_groups=[group]):
                numbers = pa.array(range(number, number + len(batch)))
                number += len(batch)
                arrays = [
                    _simplify(array, name, is_id=name in ids, is_utc=name in int96)
                    for name, array in zip(batch.schema.names, batch.columns, strict=True)
                ]
                row = pa.StructArray.from_arrays(arrays, batch.schema.names)
                yield {"line": numbers, "row": row, "problem": _find_problems(batch, set(used.values()))}
            if number != end:
                raise Refusal(f"has other rows than its footer says in row group {group + 1}; land it again")
    except (OSError, ValueError, MemoryError, ArrowException) as error:
        if comes_from_store(error):
            raise
        reason = str(error).splitlines()[0][:200]
        raise Refusal(f"cannot be read to its end as Parquet ({reason}); land it again") from None


def _count_rows_at_once(store: FileSystem, path: str, metadata: pq.FileMetaData, group: int) -> int:
    """How many rows of a row group to read at once, so that memory is bounded.

    A few bytes of a file can become any number of long texts: once in the dictionary of a column, or compressed.
    """
    columns = [metadata.row_group(group).column(n) for n in range(metadata.num_columns)]
    size = sum(column.total_uncompressed_size for column in columns)
    if size > max(BLOCK_BYTES, MAX_RATIO * store.get_file_info(path).size):
        raise Refusal(f"becomes more than {MAX_RATIO:,} times as large when decompressed; land it uncompressed")
    row_bytes: int = size // max(metadata.row_group(group).num_rows, 1)
    large = [
        column.path_in_schema for column in columns
        if column.physical_type == "BYTE_ARRAY" and column.has_dictionary_page
        and column.total_uncompressed_size > LARGE_DICTIONARY
    ]  # fmt: skip
    if large:
        file = pq.ParquetFile(path, filesystem=store, read_dictionary=large)
        first_row = next(file.iter_batches(1, row_groups=[group], columns=large), None)
        row_bytes += sum(map(_measure_longest_text, first_row.columns)) if first_row else 0
    return max(1, min(ROWS_AT_ONCE, BATCH_BYTES // max(row_bytes, 1)))


def _measure_longest_text(array: pa.Array) -> int:
    """Bytes of the longest text in the dictionaries of a column."""
    if t.is_struct(array.type):
        return sum(map(_measure_longest_text, array.flatten()))
    if t.is_list(array.type):
        return _measure_longest_text(array.values)
    return int(pc.max(pc.binary_length(array.dictionary)).as_py() or 0) if t.is_dictionary(array.type) else 0


def _find_problems(batch: pa.RecordBatch, names: set[str]) -> pa.Array:
    """Which rows have text that is not UTF-8 in one of the columns."""
    problems: list[str | None] = [None] * len(batch)
    for name in names:
        array = batch[name]
        array = array.dictionary_decode() if t.is_dictionary(array.type) else array
        if t.is_binary(array.type) or t.is_large_binary(array.type):
            for place, value in enumerate(array.to_pylist()):
                if value is not None and "\ufffd" in value.decode("utf-8", "replace"):
                    problems[place] = f"{name} is not utf-8"
    return pa.array(problems, pa.string())


def _simplify(array: pa.Array, name: str, is_id: bool, is_utc: bool) -> pa.Array:
    """A column in one of the types that DuckDB knows; NaN as null, and whole floats as whole numbers."""
    if t.is_dictionary(array.type):
        array = array.dictionary_decode()
    if t.is_binary(array.type) or t.is_large_binary(array.type):
        try:
            return array.cast(pa.string())
        except pa.ArrowInvalid:
            return pa.array(
                [None if v is None else v.decode("utf-8", "backslashreplace") for v in array.to_pylist()], pa.string()
            )
    if t.is_float16(array.type):
        array = array.cast(pa.float32())
    if t.is_floating(array.type):
        array = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
        if is_id:
            return _whole_floats(array, name)
    if t.is_decimal(array.type):
        array = _plain_decimals(array) if is_id or t.is_decimal256(array.type) else array
    if t.is_timestamp(array.type) and is_utc and array.type.tz is None:
        array = array.cast(pa.timestamp(array.type.unit, "UTC"))  # INT96 has no zone, but Spark writes it in UTC
    if t.is_timestamp(array.type) and array.type.unit in MAX_TIMES:
        array = _limit_times(array, MAX_TIMES[array.type.unit])
    if t.is_null(array.type):
        array = array.cast(pa.string())
    return array


def _limit_times(array: pa.Array, most: int) -> pa.Array:
    """Times that DuckDB can hold. Later and earlier ones become its last and first year, and are rejected as such."""
    numbers = array.cast(pa.int64())
    numbers = pc.min_element_wise(numbers, most, skip_nulls=False)
    numbers = pc.max_element_wise(numbers, -most, skip_nulls=False)
    return numbers.cast(array.type)


def _whole_floats(array: pa.Array, name: str) -> pa.Array:
    """IDs that pandas turned into floats, because one of them is missing, as text."""
    if pc.any(pc.greater_equal(pc.abs(array), float(EXACT_FLOAT))).as_py():
        raise Refusal(f"has a column {name} of floats above 2^53, which are rounded: write these IDs as strings")
    if pc.any(pc.not_equal(pc.floor(array), array)).as_py():
        raise Refusal(f"has a column {name} of floats that are no whole numbers: write these IDs as strings")
    return array.cast(pa.int64()).cast(pa.string())


def _plain_decimals(array: pa.Array) -> pa.Array:
    text = array.cast(pa.string())
    return pc.replace_substring_regex(text, r"\.0+$", "")


send_with_tasks(__name__)
