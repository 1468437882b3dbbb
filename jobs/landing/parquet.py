"""Lines of Parquet files as a Spark table, and which column types are allowed."""

import re
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DoubleType, FloatType, LongType, MapType, StructType

from jobs.lake import UserError
from jobs.landing.files import FIELDS, LandingFile

GLOB = re.compile(r"[\\{}\[\]*?]")  # characters of a path that Spark reads as a pattern
TEXT = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer)
NUMBER = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_string)
TIME = (pa.types.is_timestamp, pa.types.is_string, pa.types.is_large_string)
ALLOWED_TYPES = {  # column: tests of its Arrow type, one of which must pass, and what they accept in words
    **dict.fromkeys(("event_id", "user_id", "item_id", "event", "title", "description", "image"), (TEXT, "a string")),
    **dict.fromkeys(("value", "price", "position", "seq"), (NUMBER, "a number")),
    **dict.fromkeys(("ts", "updated_at"), (TIME, "a timestamp or an ISO 8601 string")),
}


@dataclass(frozen=True)
class ParquetColumns:
    """What files must have in common so that Spark can read them as one table."""

    types: tuple[tuple[str, str], ...]  # name and Arrow type of each column
    stored: tuple[str, ...]  # how Parquet stores each value: to Arrow, INT96 and INT64 can both be timestamp[ns]


def check_parquet_columns(file: LandingFile) -> ParquetColumns:
    """Read the columns of a Parquet file from its footer.

    raises  UserError if the file is not Parquet, if column names repeat, or if a column has a type that is not allowed
    """
    try:
        metadata = pq.read_metadata(file.path)
        schema = metadata.schema.to_arrow_schema()
    except (OSError, pa.ArrowInvalid) as error:
        message = str(error).splitlines()[0]
        raise UserError(f"{file.name} cannot be read as Parquet ({message}); land it again") from None
    names = [name.lower() for name in schema.names]
    if not names or len(set(names)) < len(names) or "_metadata" in names:
        raise UserError(
            f"{file.name}: its columns are {schema.names}; expected at least one, no name twice (capital and small"
            " letters count as the same) and none called _metadata; rename the columns and land it again"
        )
    for field in schema:
        tests, expected = ALLOWED_TYPES.get(field.name, ((), ""))
        arrow_type = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if tests and not any(is_allowed(arrow_type) for is_allowed in tests):
            raise UserError(
                f"{file.name}: column {field.name} is {field.type}, expected {expected}; convert it and land it again"
            )
    stored = tuple(metadata.schema.column(n).physical_type for n in range(len(metadata.schema)))
    return ParquetColumns(tuple((field.name, str(field.type)) for field in schema), stored)


def read_parquet_lines(spark: SparkSession, kind: str, columns: ParquetColumns, files: list[LandingFile]) -> DataFrame:
    """Read files that have the same columns as one table: file, line, raw, folder_day, fields (see `read_lines`).

    The fields are taken from the typed columns, so these lines need no parsing.
    """
    # Spark has no nanoseconds, but pandas writes them by default: read them as whole numbers.
    spark.conf.set("spark.sql.legacy.parquet.nanosAsLong", "true")
    rows = spark.read.parquet(*[GLOB.sub(r"\\\g<0>", file.path) for file in files])
    for name, arrow_type in columns.types:
        # INT96 is timestamp[ns] to Arrow, too, but Spark reads it as a timestamp. So ask for Spark's type as well.
        if arrow_type.startswith("timestamp[ns") and isinstance(rows.schema[name].dataType, LongType):
            quoted_name = f"`{name.replace('`', '``')}`"
            rows = rows.withColumn(name, F.timestamp_micros(F.expr(f"{quoted_name} div 1000")))
    fields = F.struct(*[_cast_to_text(rows, name) for name in FIELDS[kind]])
    raw = F.to_json(F.struct("*"), {"timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"})
    line = (F.col("_metadata.row_index") + 1).alias("line")
    address = F.replace(F.col("_metadata.file_path"), F.lit("+"), F.lit("%2B"))  # url_decode turns "+" into a space
    path = F.regexp_replace(F.url_decode(address), "^file:/+", "/").alias("path")
    lines = rows.select(path, line, raw.alias("raw"), fields.alias("fields"))
    listed = [(file.path, file.name, file.day) for file in files]
    names = F.broadcast(spark.createDataFrame(listed, "path string, file string, folder_day date"))
    unlisted = F.raise_error(F.concat(F.lit("Spark read a file that was not listed: "), "path"))
    file = F.coalesce("file", unlisted).alias("file")
    return lines.join(names, "path", "left").select(file, "line", "raw", "folder_day", "fields")


def _cast_to_text(rows: DataFrame, name: str) -> Column:
    if name not in rows.columns:
        return F.lit(None).cast("string").alias(name)
    data_type, column = rows.schema[name].dataType, F.col(name)
    if isinstance(data_type, ArrayType | MapType | StructType):
        return F.to_json(name).alias(name)
    if isinstance(data_type, DoubleType | FloatType) and name in ("position", "seq"):
        # pandas turns a column of whole numbers with gaps into floats: 2 becomes 2.0.
        column = F.when(column == F.floor(column), F.floor(column)).otherwise(column)
    return column.cast("string").alias(name)
