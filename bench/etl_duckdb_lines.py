"""A DuckDB query over a landing folder: every line with its file, line number and text, and its fields if readable."""

import json
import sys

import duckdb

from jobs.landing.files import LandingFile

TYPES = {
    "events": {
        "event_id": "VARCHAR", "user_id": "VARCHAR", "item_id": "VARCHAR", "event": "VARCHAR", "ts": "TIMESTAMPTZ",
        "value": "DOUBLE", "price": "DOUBLE", "request_id": "VARCHAR", "position": "INTEGER", "order_id": "VARCHAR",
        "seq": "BIGINT",
    },
    "items": {
        "item_id": "VARCHAR", "title": "VARCHAR", "description": "VARCHAR", "category": "VARCHAR[]",
        "attributes": "VARCHAR", "image": "VARCHAR", "price": "DOUBLE", "updated_at": "TIMESTAMPTZ",
    },
}  # fmt: skip
ORIGIN = ("file", "line", "folder_day")  # columns that say where a row comes from
AS_TEXT = (
    "columns = {'raw': 'VARCHAR'}, delim = '\x01', quote = '', escape = '', header = false, auto_detect = false, "
    "ignore_errors = true, max_line_size = 16777216"
)


def build_lines_query(db: duckdb.DuckDBPyConnection, kind: str, files: list[LandingFile]) -> str:
    """A query with the columns file, line, raw, is_object, folder_day and the fields of `kind`, each with its type."""
    parts = []
    for file_format in sorted({file.format for file in files}):
        source = _build_source(file_format, [file for file in files if file.format == file_format])
        if file_format == "parquet":
            column_types = {name: type_ for name, type_, *_ in db.execute(f"DESCRIBE {source}").fetchall()}
            columns = ", ".join(f"'{name}': {name}" for name in column_types if name not in ORIGIN)
            raw, is_object = f"to_json({{{columns}}})", "true"
        else:
            column_types = dict.fromkeys(TYPES[kind], "VARCHAR")
            object_ = f"json_transform(CASE WHEN json_valid(raw) THEN raw END, '{json.dumps(column_types)}')"
            source = f"SELECT *, unnest({object_}) FROM ({source})"
            raw, is_object = "raw", "raw LIKE '{%}' AND json_valid(raw)"
        fields = ", ".join(_build_field(name, type_, column_types.get(name)) for name, type_ in TYPES[kind].items())
        parts.append(f"SELECT file, line, {raw} AS raw, {is_object} AS is_object, folder_day, {fields} FROM ({source})")
    return " UNION ALL ".join(parts)


def _build_source(file_format: str, files: list[LandingFile]) -> str:
    """The lines of files of one format: file, line, folder_day and either `raw` or the unchanged columns."""
    folders = [f"DATE '{file.day}'" if file.day else "CAST(NULL AS DATE)" for file in files]
    if file_format == "parquet":
        paths = ", ".join(_quoted(file.path) for file in files)
        rows = ", ".join(f"({_quoted(f.path)}, {_quoted(f.name)}, {d})" for f, d in zip(files, folders, strict=True))
        return f"""SELECT t.* EXCLUDE (filename, file_row_number), file, file_row_number + 1 AS line, folder_day
                   FROM read_parquet([{paths}], union_by_name = true, hive_partitioning = false,
                                     filename = true, file_row_number = true) t
                   JOIN (VALUES {rows}) AS landed(path, file, folder_day) ON filename = path"""
    if file_format != "jsonl":
        sys.exit(f"etl: the DuckDB side reads JSON Lines and Parquet, not {file_format}; convert these files")
    return " UNION ALL ".join(
        f"""SELECT {_quoted(file.name)} AS file, line, trim(raw) AS raw, {folder} AS folder_day
            FROM (SELECT raw, row_number() OVER () AS line FROM read_csv({_quoted(file.path)}, {AS_TEXT}))
            WHERE trim(raw) <> ''"""
        for file, folder in zip(files, folders, strict=True)
    )


def _build_field(name: str, wanted: str, column_type: str | None) -> str:
    """A column cast to the type `wanted` and, where the cast can fail, `<name>_given`: whether there was a value."""
    if column_type is None:
        return f"CAST(NULL AS {wanted}) AS {name}, false AS {name}_given"
    if wanted == "VARCHAR":
        text = f"to_json({name})" if column_type.startswith("STRUCT") else name
        return f"CAST({text} AS VARCHAR) AS {name}"
    if column_type != "VARCHAR":
        return f"CAST({name} AS {wanted}) AS {name}, {name} IS NOT NULL AS {name}_given"
    if wanted == "VARCHAR[]":
        parsed = f"from_json(CASE WHEN json_valid({name}) THEN {name} END, '[\"VARCHAR\"]')"
        return f"CASE WHEN {name} LIKE '[%' THEN {parsed} WHEN {name} <> '' THEN [{name}] END AS {name}"
    dated = f"regexp_matches({name}, '^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}')" if wanted == "TIMESTAMPTZ" else "true"
    has_value = f"coalesce({name}, '') <> ''" if wanted == "TIMESTAMPTZ" else f"{name} IS NOT NULL"
    return f"CASE WHEN {dated} THEN try_cast({name} AS {wanted}) END AS {name}, {has_value} AS {name}_given"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
