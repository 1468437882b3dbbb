"""Table contracts: `sql/tables/*.sql` read as schemas, so that types and comments are written once.

The files are Spark SQL that an analyst can read. deltalake creates the tables from them, which takes milliseconds
and no JVM. Spark then finds the tables at their paths.
"""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pyarrow as pa
import sqlglot
from deltalake import Field, Schema
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError

from jobs.lake.errors import UserError

ROOT = Path(__file__).parents[2] / "sql"
_CONSTRAINT = "delta.constraints."
_ARROW_TYPES = {
    "STRING": pa.string(), "INT": pa.int32(), "BIGINT": pa.int64(), "DOUBLE": pa.float64(), "FLOAT": pa.float32(),
    "DATE": pa.date32(), "TIMESTAMP": pa.timestamp("us", tz="UTC"), "BOOLEAN": pa.bool_(),
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One column of a table. `type` is the Spark SQL type, such as `ARRAY<STRING>`."""

    name: str
    type: str
    arrow: pa.DataType
    nullable: bool
    comment: str

    @property
    def delta(self) -> Field:
        """The column as a Delta field, with its comment."""
        metadata = {"comment": self.comment} if self.comment else None
        return Field.from_arrow(pa.field(self.name, self.arrow, self.nullable, metadata))


@dataclass(frozen=True)
class Contract:
    """One `CREATE TABLE`: name, columns, partition columns, constraints (name -> SQL condition) and comment.

    properties  further properties of the Delta table, such as the columns whose statistics are kept for each file. A
                table of many days costs less to open if these are few
    """

    name: str
    columns: tuple[Column, ...]
    partitions: tuple[str, ...]
    checks: dict[str, str]
    comment: str
    properties: dict[str, str] = field(default_factory=dict)

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow schema that rows need before they are written."""
        return pa.schema([pa.field(c.name, c.arrow, c.nullable) for c in self.columns])

    @property
    def delta(self) -> Schema:
        """The schema that the Delta table is created with."""
        return Schema([c.delta for c in self.columns])

    @property
    def names(self) -> list[str]:
        """The column names, in order."""
        return [c.name for c in self.columns]


@cache
def contracts() -> dict[str, Contract]:
    """Return every table by name, such as `silver.events`.

    raises  UserError that names the file if one is not a table contract
    """
    return {path.stem: read_contract(path) for path in sorted((ROOT / "tables").glob("*.sql"))}


def read_contract(path: Path) -> Contract:
    """Read one `CREATE TABLE <layer>.<table>`. The file's name is the table's name.

    raises  UserError that names the file and says what is wrong in it
    """
    try:
        return _parse_contract(path.read_text(), path.stem)
    except ParseError as error:
        mistake = error.errors[0] if error.errors else {"line": 1, "description": str(error), "highlight": ""}
        place = f"line {mistake['line']}: {mistake['description']} near {mistake['highlight']!r}"
        raise UserError(f"{path} is not a table contract: {place}") from None
    except (TokenError, ValueError) as error:
        raise UserError(f"{path} is not a table contract: {error}") from None


def _parse_contract(text: str, name: str) -> Contract:
    table = sqlglot.parse_one(text, dialect="spark")
    if not isinstance(table, exp.Create) or not isinstance(table.this, exp.Schema):
        raise ValueError("expected one CREATE TABLE with columns")
    if (table_name := table.this.this.sql("spark")) != name:
        raise ValueError(f"it creates {table_name}, expected {name} as in the file's name")
    partitions = table.find(exp.PartitionedByProperty)
    comment = table.find(exp.SchemaCommentProperty)
    if comment and not isinstance(comment.this, exp.Literal):
        raise ValueError(f"its COMMENT is not one text, write a quote in it as \\': {comment.sql('spark')}")
    properties = {item.name: item.text("value") for item in table.find_all(exp.Property) if type(item) is exp.Property}
    return Contract(
        name=name,
        columns=tuple(map(_parse_column, table.this.expressions)),
        partitions=tuple(column.name for column in partitions.this.expressions) if partitions else (),
        checks={key.removeprefix(_CONSTRAINT): properties[key] for key in properties if key.startswith(_CONSTRAINT)},
        comment=comment.this.name if comment else "",
        properties={key: value for key, value in properties.items() if not key.startswith(_CONSTRAINT)},
    )


def _parse_column(column: exp.Expression) -> Column:
    if not isinstance(column, exp.ColumnDef) or column.kind is None:
        raise ValueError(f"expected a column with a type, got: {column.sql('spark')}")
    constraints = {type(constraint.kind): constraint.kind for constraint in column.constraints}
    comment = constraints.pop(exp.CommentColumnConstraint, None)
    nullable = constraints.pop(exp.NotNullColumnConstraint, None) is None
    if constraints:
        raise ValueError(f"column {column.name} may have NOT NULL and COMMENT only, got: {column.sql('spark')}")
    spark_type = column.kind.sql("spark")
    return Column(column.name, spark_type, _arrow_type(column.kind), nullable, comment.this.name if comment else "")


def _arrow_type(kind: exp.DataType) -> pa.DataType:
    parts = [_arrow_type(part) for part in kind.expressions if isinstance(part, exp.DataType)]
    if kind.is_type(exp.DType.ARRAY):
        return pa.list_(*parts)
    if kind.is_type(exp.DType.MAP):
        return pa.map_(*parts)
    if (name := kind.sql("spark")) not in _ARROW_TYPES:
        raise ValueError(f"type {name} is unknown; use one of: {', '.join(_ARROW_TYPES)}, ARRAY<>, MAP<>")
    return _ARROW_TYPES[name]
