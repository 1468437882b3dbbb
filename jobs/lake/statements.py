"""SQL statements as text: their parameters, the tables they name, and where they end.

sqlglot reads the statements, so that quotes and comments are recognised. Spark 4.1 with Delta's parser leaves bound
parameters (`spark.sql(text, args=...)`) unbound, therefore sqlglot writes the values into Spark's statements.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import ClassVar

from sqlglot import TokenType, exp
from sqlglot.dialects.spark import Spark
from sqlglot.errors import TokenError

from jobs.lake.store import spark_address

Value = date | str | int | float | Sequence[date] | Sequence[str]

LAYERS = ("bronze", "silver", "gold", "ops")  # in the order in which a day fills them


class _SparkText(Spark):
    """Spark's SQL, in which X'1G' is text: Spark itself says what is wrong with a number."""

    class Tokenizer(Spark.Tokenizer):
        HEX_STRINGS: ClassVar[list[str | tuple[str, str]]] = []
        BIT_STRINGS: ClassVar[list[str | tuple[str, str]]] = []


_SPARK = _SparkText()


def spark_literal(value: Value) -> str:
    """Write a value as a Spark SQL literal, several values as a list such as `(1, 2)`. Text stays text."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return exp.Tuple(expressions=[exp.convert(part) for part in value]).sql(_SPARK)
    return exp.convert(value).sql(_SPARK)


def spark_table(path: str, version: int | None = None) -> str:
    """Name the Delta table at a path in Spark SQL, at a version or at its newest one."""
    suffix = "" if version is None else f"@v{version}"
    return f"delta.`{spark_address(path).replace('`', '``')}{suffix}`"


def fill_in(text: str, path_of: Callable[[str], str], parameters: Mapping[str, str]) -> str:
    """Replace the table names (`silver.events`) and the parameters (`:day`) of a statement.

    path_of     what to write for a table name
    parameters  what to write for each parameter, by its name; other names stay unchanged
    """
    filled, end = [], 0
    tokens = _SPARK.tokenize(text)
    for number, token in enumerate(tokens[:-1]):
        following = tokens[number + 1]
        name = following.text
        if token.token_type == TokenType.COLON and following.start == token.end + 1 and name in parameters:
            filled += [text[end : token.start], parameters[name]]
            end = following.end + 1
        elif token.text in LAYERS and following.token_type == TokenType.DOT and number + 2 < len(tokens):
            table = tokens[number + 2]
            filled += [text[end : token.start], path_of(f"{token.text}.{table.text}")]
            end = table.end + 1
    return "".join([*filled, text[end:]])


def split_statements(text: str) -> tuple[list[str], str]:
    """Split text into the statements that a `;` ends, and the unfinished rest.

    A `;` in quotes or in a comment ends nothing. As long as a quote or a comment is open, all text is unfinished.
    """
    try:
        tokens = _SPARK.tokenize(text)
    except TokenError:
        return [], text
    statements, start, is_empty = [], 0, True
    for token in tokens:
        if token.token_type == TokenType.SEMICOLON:
            statements += [] if is_empty else [text[start : token.start].strip()]
            start, is_empty = token.end + 1, True
        else:
            is_empty = False
    return statements, text[start:]


def partition_predicate(
    dialect: str, partition: Mapping[str, date | str | Sequence[date] | Sequence[str]]
) -> str | None:
    """Write the condition that each column has its value, or one of its values. None for no columns.

    dialect  "spark", or "" for standard SQL, which deltalake reads
    """
    conditions: list[exp.Expression] = []
    for column, value in partition.items():
        if isinstance(value, date | str):
            conditions.append(exp.column(column).eq(str(value)))
        else:
            conditions.append(exp.column(column).isin(*map(str, value)))
    return exp.and_(*conditions).sql(dialect) if conditions else None


def day_range_predicate(since: date, day: date) -> str:
    """Write the condition that `day` lies in a range, ends included. Delta 4.4 cannot replace by BETWEEN."""
    column = exp.column("day")
    return exp.and_(column >= since.isoformat(), column <= day.isoformat()).sql()
