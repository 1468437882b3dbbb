"""Table contracts: `sql/tables/*.sql` read as schemas, so that types and comments stand once.

The files are Spark SQL that an analyst can read. Tables are created from them with deltalake,
which takes milliseconds and no JVM; Spark then registers what is there.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyarrow as pa
from deltalake import Field, Schema
from deltalake.schema import ArrayType, MapType, PrimitiveType

ROOT = Path(__file__).parent.parent.parent / "sql"
_COLUMN = re.compile(
    r"(\w+)\s+([A-Z]+(?:<[^>]+>)?)(\s+NOT NULL)?(?:\s+COMMENT\s+'((?:[^']|'')*)')?\s*(?:,|$)", re.MULTILINE
)
_PRIMITIVE = {
    "STRING": "string", "INT": "integer", "BIGINT": "long", "DOUBLE": "double", "FLOAT": "float",
    "DATE": "date", "TIMESTAMP": "timestamp", "BOOLEAN": "boolean",
}  # fmt: skip
_ARROW = {
    "STRING": pa.string(), "INT": pa.int32(), "BIGINT": pa.int64(), "DOUBLE": pa.float64(), "FLOAT": pa.float32(),
    "DATE": pa.date32(), "TIMESTAMP": pa.timestamp("us", tz="UTC"), "BOOLEAN": pa.bool_(),
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    name: str
    type: str
    nullable: bool
    comment: str

    @property
    def arrow(self) -> pa.DataType:
        if self.type.startswith("ARRAY"):
            return pa.list_(_ARROW[self.type[6:-1]])
        if self.type.startswith("MAP"):
            key, value = self.type[4:-1].split(",")
            return pa.map_(_ARROW[key.strip()], _ARROW[value.strip()])
        return _ARROW[self.type]

    @property
    def delta(self) -> Field:
        metadata = {"comment": self.comment} if self.comment else {}
        return Field(self.name, _delta_type(self.type), nullable=self.nullable, metadata=metadata)


@dataclass(frozen=True)
class Contract:
    """One `CREATE TABLE`: name, columns, partitions, checks, comment."""

    name: str
    columns: tuple[Column, ...]
    partitions: tuple[str, ...]
    checks: dict[str, str]
    comment: str

    @property
    def arrow(self) -> pa.Schema:
        return pa.schema([pa.field(c.name, c.arrow, c.nullable) for c in self.columns])

    @property
    def delta(self) -> Schema:
        return Schema([c.delta for c in self.columns])

    @property
    def names(self) -> list[str]:
        return [c.name for c in self.columns]


def _delta_type(text: str) -> PrimitiveType | ArrayType | MapType:
    if text.startswith("ARRAY"):
        return ArrayType(PrimitiveType(_PRIMITIVE[text[6:-1]]), contains_null=True)
    if text.startswith("MAP"):
        key, value = text[4:-1].split(",")
        primitive = [PrimitiveType(_PRIMITIVE[t.strip()]) for t in (key, value)]
        return MapType(primitive[0], primitive[1], value_contains_null=True)
    return PrimitiveType(_PRIMITIVE[text])


def _parse(text: str) -> Contract:
    head = re.match(r"CREATE TABLE (\S+) \((.*)\n\) USING DELTA(.*)$", text.strip(), re.DOTALL)
    assert head, f"not a table contract: {text[:60]}"
    name, body, tail = head.groups()
    columns = tuple(
        Column(m[1], m[2], m[3] is None, (m[4] or "").replace("''", "'")) for m in _COLUMN.finditer(body.strip())
    )
    partitions = re.search(r"PARTITIONED BY \(([^)]*)\)", tail)
    comment = re.search(r"COMMENT '((?:[^']|'')*)'", tail)
    return Contract(
        name=name,
        columns=columns,
        partitions=tuple(p.strip() for p in partitions[1].split(",")) if partitions else (),
        checks=dict(re.findall(r"'delta\.constraints\.([^']+)' = '([^']+)'", tail)),
        comment=comment[1].replace("''", "'") if comment else "",
    )


@cache
def contracts() -> dict[str, Contract]:
    """Every table by name, such as `silver.events`."""
    parsed = (_parse(path.read_text()) for path in sorted((ROOT / "tables").glob("*.sql")))
    return {contract.name: contract for contract in parsed}
