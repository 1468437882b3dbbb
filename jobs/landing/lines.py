"""The lines of all log files as one Spark table, whatever format the files have."""

from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.landing.files import FIELDS, LandingFile
from jobs.landing.parquet import ParquetColumns, check_parquet_columns, read_parquet_lines
from jobs.landing.text import LINE_COLUMNS, read_text_files


def fields_type(kind: str) -> str:
    """The Spark type of the fields of a line: a struct of `FIELDS`, all text."""
    return f"STRUCT<{', '.join(f'{name}: STRING' for name in FIELDS[kind])}>"


def read_lines(spark: SparkSession, kind: str, files: list[LandingFile]) -> DataFrame:
    """Read every line of files of one kind: file, line (from 1), raw (JSON), folder_day, fields. Skips blank lines.

    `fields` has the type `fields_type` for a line of Parquet. It is null for a line of JSON or CSV, which is yet to be
    parsed.
    """
    text_files = [file for file in files if file.format != "parquet"]
    listed = spark.createDataFrame(
        [(file.path, file.name, file.format, file.day) for file in text_files],
        "path string, name string, format string, day date",
    )
    text_lines = listed.repartition(max(len(text_files), 1), "path").mapInArrow(read_text_files, LINE_COLUMNS)
    parts = [text_lines.withColumn("fields", F.lit(None).cast(fields_type(kind)))]
    files_by_columns: dict[ParquetColumns, list[LandingFile]] = {}
    for file in files:
        if file.format == "parquet":
            files_by_columns.setdefault(check_parquet_columns(file), []).append(file)
    parts += [read_parquet_lines(spark, kind, columns, group) for columns, group in files_by_columns.items()]
    return reduce(DataFrame.unionAll, parts)
