"""Values as SQL literals: Spark 4.1 with Delta's parser leaves parameters unbound."""

import re
from collections.abc import Iterable
from datetime import date
from typing import Any

_PARAMETER = re.compile(r"(?<!:):([a-z_]+)\b")


def literal(value: date | str | int | float | Iterable[date]) -> str:
    """A value as a SQL literal, several as a list; text is quoted, so that it can never be read as SQL."""
    if isinstance(value, date):
        return f"DATE'{value.isoformat()}'"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    return "(" + ", ".join(map(literal, value)) + ")"


def day_range_predicate(since: date, day: date) -> str:
    """A `where` for `replace`. Delta 4.4 cannot replace by BETWEEN."""
    return f"day >= '{since}' AND day <= '{day}'"


def with_values(text: str, args: dict[str, Any]) -> str:
    """SQL with its `:name` parameters written out as literals."""
    return _PARAMETER.sub(lambda match: literal(args[match[1]]) if match[1] in args else match[0], text)
