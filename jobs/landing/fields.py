"""SQL that finds the fields of lines, as text: the view `fields` of sql/transforms/parse_<kind>.sql.

Names of columns and what `landing.toml` says reach this SQL only in quotes.
"""

import duckdb
import pyarrow as pa

from jobs.landing.parquet import ID_FIELDS, find_columns
from jobs.landing.reading import Reading
from jobs.landing.text import MAX_LINE_BYTES
from jobs.runtime.executors import send_with_tasks

NUMBER_FIELDS = ("value", "price", "position", "seq")
NOT_AN_OBJECT = "not a JSON object"
IGNORED = "ignored: it holds no event or item that is used"
# Around IDs and times. Spreadsheets write spaces that do not break, and joined files hold byte order marks.
BLANKS = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\ufeff"


def select_json_fields(connection: "duckdb.DuckDBPyConnection", reading: Reading, file_format: str) -> str:
    """Write the query `fields` over a block of JSON texts. Capital letters in the keys of objects do not matter.

    connection  in which the view `block` is the block to read
    """
    is_object = "raw LIKE '{%' AND json_valid(raw)"
    # A line that is ignored counts on the day of its own time.
    valid = f"CASE WHEN coalesce(problem = '{IGNORED}', true) THEN CASE WHEN {is_object} THEN raw END END"
    keys = [
        key for (key,) in connection.sql(f"SELECT DISTINCT unnest(json_keys({valid})) FROM block").fetchall()
    ]  # fmt: skip
    paths: list[str] = []
    raw_fields, id_problems = {}, []
    for field in reading.fields:
        name = reading.dialect["columns"].get(field, field)
        own_paths = [_json_path([key]) for key in _find_keys(keys, name)] or [_json_path(name.split("."))]
        texts = [f"texts[{len(paths) + number}]" for number in range(1, len(own_paths) + 1)]
        paths += own_paths
        raw_fields[field] = f"coalesce({', '.join(texts)})" if len(texts) > 1 else texts[0]
        if field in ID_FIELDS and file_format != "csv":
            id_problems += [
                f"""WHEN {text}[1] IN ('[', '{{')
                    THEN CASE WHEN json_type(object, {_quote(path)}) IN ('ARRAY', 'OBJECT')
                         THEN '{field} is an object or a list' END"""
                for text, path in zip(texts, own_paths, strict=True)
            ]
    id_problem = f"CASE {' '.join(id_problems)} END" if id_problems else "NULL"
    listed = ", ".join(map(_quote, paths))
    return f"""
        SELECT line, raw, coalesce(problem, CASE WHEN object IS NULL THEN '{NOT_AN_OBJECT}' END) AS problem,
               {id_problem} AS id_problem, {_normalised_fields(reading, raw_fields)}
        FROM (SELECT *, json_extract_string(object, [{listed}]) AS texts
              FROM (SELECT line, raw, problem, {valid} AS object FROM block))"""


def _find_keys(keys: list[str], name: str) -> list[str]:
    """The keys of objects that mean a field, whatever their capital letters and blanks; its own name comes first."""
    matching = (key for key in keys if key == name or key.strip().lower() == name.lower())
    return sorted(matching, key=lambda key: (key != name, key))


def _json_path(parts: list[str]) -> str:
    """The path to a field: the keys from the outermost object to the innermost."""
    quoted = (part.replace("\\", "\\\\").replace('"', '\\"') for part in parts)
    return "$" + "".join(f'."{part}"' for part in quoted)


def select_column_fields(reading: Reading, block: dict[str, pa.Array]) -> str:
    """Write the query `fields` over a block of Parquet rows, whose columns are known."""
    types = {column.name: column.type for column in block["row"].type}
    columns = reading.dialect["columns"]
    field_columns = find_columns(list(types), reading.fields, columns)
    raw_fields = {}
    for field in reading.fields:
        path = columns.get(field, field)
        if field not in field_columns:
            is_nested = path.split(".")[0] in types and "." in path
            raw_fields[field] = f"json_extract_string(to_json(row), {_quote(_json_path(path.split('.')))})"
            raw_fields[field] = raw_fields[field] if is_nested else "NULL"
        elif pa.types.is_nested(types[field_columns[field]]):
            raw_fields[field] = f"to_json(row.{_identifier(field_columns[field])})::VARCHAR"
        else:
            raw_fields[field] = f"CAST(row.{_identifier(field_columns[field])} AS VARCHAR)"
    return f"""
        SELECT line, CASE WHEN is_long THEN text[:1000] ELSE text END AS raw, NULL AS id_problem,
               CASE WHEN is_long THEN 'longer than {MAX_LINE_BYTES:,} bytes' ELSE problem END AS problem,
               {_normalised_fields(reading, raw_fields)}
        FROM (SELECT *, strlen(text) > {MAX_LINE_BYTES} AS is_long
              FROM (SELECT *, CAST(to_json(row) AS VARCHAR) AS text FROM block))"""


def _normalised_fields(reading: Reading, raw_fields: dict[str, str]) -> str:
    """The fields as columns f_<name>: IDs and times without blanks around them, events by the names of this project."""
    dialect = reading.dialect
    expressions = {field: f"CAST({text} AS VARCHAR)" for field, text in raw_fields.items()}
    expressions |= {field: _quote(value) for field, value in dialect["fixed"].items()}
    for field, text in expressions.items():
        if field in ID_FIELDS or field in ("ts", "updated_at"):
            is_odd = f"strlen({text}) > length({text}) OR {text}[1] <= ' ' OR {text}[-1] <= ' '"  # `trim` is slow
            expressions[field] = f"CASE WHEN {is_odd} THEN trim({text}, '{BLANKS}') ELSE {text} END"
        elif field in NUMBER_FIELDS and dialect["decimal"] == ",":
            expressions[field] = f"replace(replace({text}, '.', ''), ',', '.')"
        elif field == "event":
            names = dict(dialect["names"])
            name = f"lower(trim({text}))"
            other = _quote(names.pop("*")) if "*" in names else name
            cases = "".join(f"WHEN {name} = {_quote(k.lower())} THEN {_quote(v)} " for k, v in names.items())
            empty = f"WHEN coalesce(trim({text}), '') = '' THEN NULL"
            expressions[field] = f"CASE {empty} {cases}ELSE {other} END"
    if dialect["same"]:
        identity = ", ".join(f"coalesce({expressions[field]}, '')" for field in dialect["same"])
        expressions["event_id"] = f"md5(concat_ws(chr(31), {identity}))"
    return ", ".join(f"{text} AS f_{field}" for field, text in expressions.items())


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


send_with_tasks(__name__)
