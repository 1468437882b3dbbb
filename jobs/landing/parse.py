"""Files of one kind as rows of bronze.raw_events or bronze.raw_items. Runs on Spark's executors, or in the job itself.

DuckDB parses whole blocks of lines. It cannot reach any file or address: it sees only the blocks that it is given.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
from duckdb.func import SPECIAL

from jobs.landing.csv_rows import read_csv_blocks
from jobs.landing.fields import IGNORED, NOT_AN_OBJECT, select_column_fields, select_json_fields
from jobs.landing.parquet import read_parquet_blocks
from jobs.landing.reading import Reading
from jobs.landing.text import Refusal, read_json_blocks, split_objects
from jobs.runtime.executors import send_with_tasks

REFUSED = "the file is refused: "
PARAMETER = re.compile(r"\$(\w+)")
MACROS = """
CREATE MACRO without_blanks(levels) AS
  nullif(list_filter(list_transform(levels, lambda level: trim(level)), lambda level: level <> ''), []);
CREATE MACRO is_word_for_missing(id) AS
  coalesce(lower(id) IN ('null', '(null)', 'nan', 'undefined', '\\n', '<na>'), false);
CREATE MACRO read_time(text) AS
  coalesce(CASE WHEN text >= '0' AND text < ':' THEN try_cast(text AS TIMESTAMPTZ) END,
           CASE WHEN text <> '' THEN to_timestamp(slow_time(text)) END);
"""


def read_files(reading: Reading, files: Iterable[dict[str, Any]]) -> Iterator[pa.RecordBatch]:
    """Read files (path, name, format, day, first_group, groups) and yield rows of `reading.schema`, block by block.

    A file that cannot be read yields one row whose reason begins with `REFUSED`.
    """
    connection = _connect(reading.time_zone)
    for file in files:
        values = {"file": file["name"], "folder_day": file["day"], **reading.values}
        try:
            for block in _read_blocks(reading, file):
                yield from _parse_block(connection, reading, block, file["format"], values)
        except Refusal as refusal:
            yield _build_refusal(reading, values, refusal)
        except (duckdb.Error, pa.lib.ArrowException, UnicodeError) as error:
            # No file that we know of leads to this. DuckDB may need a new connection after an error.
            connection.close()
            connection = _connect(reading.time_zone)
            reason = str(error).partition("\n")[0][:200]
            yield _build_refusal(
                reading, values, Refusal(f"holds a value that cannot be read ({reason}); leave it out")
            )
    connection.close()


def _build_refusal(reading: Reading, values: dict[str, Any], refusal: Refusal) -> pa.RecordBatch:
    where = f"line {refusal.line:,} " if refusal.line else ""
    row = {
        "file": values["file"], "line": max(refusal.line, 1), "raw": "", "reason": f"{REFUSED}{where}{refusal}",
        "run_id": values["run_id"], "day": values["folder_day"] or values["day"],
    }  # fmt: skip
    return pa.RecordBatch.from_pylist([row], reading.schema)


# in quotes, so that no reference to DuckDB's type is left at exit: DuckDB reports such references as leaks
def _connect(time_zone: str) -> "duckdb.DuckDBPyConnection":
    connection = duckdb.connect(config={"threads": 1, "memory_limit": "1GB", "enable_external_access": "false"})
    connection.execute(f"SET TimeZone = '{time_zone}'")
    zone = ZoneInfo(time_zone)
    connection.create_function(
        "slow_time", lambda text: _parse_time(text, zone), ["VARCHAR"], "DOUBLE", null_handling=SPECIAL
    )
    connection.execute(MACROS)
    return connection


def _read_blocks(reading: Reading, file: dict[str, Any]) -> Iterator[dict[str, pa.Array]]:
    if file["format"] == "parquet":
        groups = file["first_group"], file["groups"]
        yield from read_parquet_blocks(file["path"], *groups, reading.fields, reading.dialect["columns"])
    elif file["format"] == "csv":
        yield from read_csv_blocks(file["path"], reading.kind, reading.dialect)
    else:
        keeps_tabs = file["format"] == "lines"
        yield from read_json_blocks(file["path"], reading.dialect["encoding"], keeps_tabs)


def _parse_block(
    connection: "duckdb.DuckDBPyConnection",
    reading: Reading,
    block: dict[str, pa.Array],
    file_format: str,
    values: dict[str, Any],
) -> Iterator[pa.RecordBatch]:
    if not len(block["line"]):
        return
    connection.register("block", pa.table(block))
    if reading.query:
        connection.register("block", connection.sql(_query_rows(reading, file_format)).to_arrow_table())
    has_columns = file_format == "parquet" and not reading.query
    source = (
        select_column_fields(reading, block) if has_columns else select_json_fields(connection, reading, file_format)
    )
    values = values | {"day_zone": reading.day_zone, "ignored": IGNORED}
    used = {name: values[name] for name in set(PARAMETER.findall(reading.sql))}
    rows = connection.sql(f"WITH fields AS ({source}) {reading.sql.replace('WITH ', ', ', 1)}", params=used)
    table = rows.to_arrow_table().cast(reading.schema)
    connection.unregister("block")
    if file_format == "jsonl" and (split := _split_lines(table)):
        is_split = pa.array(split["is_split"], pa.bool_())
        table = table.filter(pa.compute.invert(is_split))
        again = {"line": split["line"], "raw": split["raw"], "problem": [None] * len(split["line"])}
        types = {"line": pa.int64(), "raw": pa.string(), "problem": pa.string()}
        arrays = {name: pa.array(column, types[name]) for name, column in again.items()}
        yield from _parse_block(connection, reading, arrays, "json", values)
    yield from table.to_batches()


def _query_rows(reading: Reading, file_format: str) -> str:
    """The query of a preset over a block. A line of which it makes no row counts as ignored."""
    source, is_read = "SELECT line, raw, problem FROM block", "problem IS NULL"
    if file_format == "parquet":
        source = "SELECT line, CAST(to_json(row) AS VARCHAR) AS raw, problem FROM block"
    elif file_format != "lines":
        is_read += " AND raw LIKE '{%' AND json_valid(raw)"
    return f"""
        WITH source AS ({source}), lines AS (SELECT line, raw FROM source WHERE {is_read}), made AS ({reading.query})
        SELECT line, CAST(raw AS VARCHAR) AS raw, CAST(problem AS VARCHAR) AS problem FROM made
        UNION ALL SELECT line, raw, '{IGNORED}' FROM lines WHERE line NOT IN (SELECT line FROM made)
        UNION ALL SELECT line, raw, problem FROM source WHERE ({is_read}) IS NOT TRUE"""


def _split_lines(table: pa.Table) -> dict[str, list[Any]] | None:
    """The lines that hold several JSON objects, one entry for each object. None if there is no such line."""
    is_bad = pa.compute.equal(table["reason"], NOT_AN_OBJECT).fill_null(False)
    if not pa.compute.any(is_bad).as_py():
        return None
    lines: list[int] = []
    texts: list[str] = []
    is_split = []
    for bad, line, raw in zip(is_bad.to_pylist(), table["line"].to_pylist(), table["raw"].to_pylist(), strict=True):
        objects = split_objects(raw) if bad else None
        is_split.append(objects is not None)
        lines += [line] * len(objects or [])
        texts += objects or []
    return {"is_split": is_split, "line": lines, "raw": texts} if lines else None


def _parse_time(text: str | None, zone: ZoneInfo) -> float | None:
    """Seconds since 1970 of a time that DuckDB does not read: other forms of ISO 8601, and numbers since 1970."""
    if text is None:
        return None
    try:
        return _since_1970(float(text))
    except ValueError:
        pass
    text = text.partition("[")[0].strip().upper().removesuffix(" UTC").removesuffix(" GMT").replace(":60", ":59")
    text = text.replace(" +", "+").replace(" -", "-").replace(" Z", "Z")
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo:
            return time.timestamp()
        # When clocks go back, an hour comes twice. DuckDB takes the later one.
        return max(time.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    except (ValueError, OverflowError):  # OverflowError: a time zone leads out of the years 1 to 9999
        return None


def _since_1970(number: float) -> float | None:
    """Seconds, from a number of seconds, milliseconds, microseconds or nanoseconds between 2001 and 2286."""
    for unit in (1, 1e3, 1e6, 1e9):
        if 1e9 <= number / unit < 1e10:
            return number / unit
    return None


send_with_tasks(__name__)
