"""A table's file is its contract: what it says comes out, and a mistake in it names the file."""

from pathlib import Path

import pyarrow as pa
import pytest

from jobs.lake import UserError
from jobs.lake.contracts import ROOT, contracts, read_contract

GOOD = r"""-- a comment; with a semicolon
CREATE TABLE gold.cups (
  cup      STRING NOT NULL COMMENT 'the shop\'s name; "quoted", as (in) it',
  `like`   INT,
  colours  ARRAY<STRING> NOT NULL COMMENT 'of the cup', -- a comment
  prices   MAP<STRING, BIGINT> COMMENT 'shop to price',
  day      DATE NOT NULL
) USING DELTA PARTITIONED BY (cup, day)
  TBLPROPERTIES ('delta.constraints.close' = 'cup > \'a\'', 'delta.appendOnly' = 'true')
  COMMENT 'All cups.'
"""


def test_names_types_comments_partitions_and_constraints_come_out(tmp_path: Path) -> None:
    path = tmp_path / "gold.cups.sql"
    path.write_text(GOOD)
    cups = read_contract(path)
    assert (cups.name, cups.comment, cups.partitions) == ("gold.cups", "All cups.", ("cup", "day"))
    assert cups.checks == {"close": "cup > 'a'"}
    assert [(c.name, c.type, c.nullable, c.comment) for c in cups.columns] == [
        ("cup", "STRING", False, 'the shop\'s name; "quoted", as (in) it'),
        ("like", "INT", True, ""),
        ("colours", "ARRAY<STRING>", False, "of the cup"),
        ("prices", "MAP<STRING, BIGINT>", True, "shop to price"),
        ("day", "DATE", False, ""),
    ]
    types = [pa.string(), pa.int32(), pa.list_(pa.string()), pa.map_(pa.string(), pa.int64()), pa.date32()]
    assert cups.arrow.types == types
    assert cups.delta.fields[0].metadata == {"comment": cups.columns[0].comment}


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("`like`   INT,", "`like`   INT", "line 5: Expecting"),
        ("DATE NOT NULL\n)", "DATE NOT NULL\n", "line 8: "),
        ("'All cups.'", "'All cups.", "Error tokenizing"),
        ("'All cups.'", "'Shop''s cups.'", "write a quote in it as"),
        ("CREATE TABLE", "CREATE TABEL", "expected one CREATE TABLE"),
        ("gold.cups", "gold.mugs", "expected gold.cups as in the file's name"),
        ("day      DATE NOT NULL", "day", "expected a column with a type, got: day"),
        ("day      DATE", "day      DECIMAL(3, 1)", r"type DECIMAL\(3, 1\) is unknown"),
        ("day      DATE", "day      DATE DEFAULT 3", "column day may have NOT NULL and COMMENT only"),
    ],
)
def test_a_mistake_names_the_file_and_what_is_wrong(tmp_path: Path, right: str, wrong: str, message: str) -> None:
    path = tmp_path / "gold.cups.sql"
    path.write_text(GOOD.replace(right, wrong))
    with pytest.raises(UserError, match=rf"gold\.cups\.sql is not a table contract: .*{message}"):
        read_contract(path)


def test_each_table_of_the_project_has_a_contract_with_a_comment_for_the_table() -> None:
    assert len(contracts()) == len(list((ROOT / "tables").glob("*.sql")))
    assert all(contract.comment and contract.columns for contract in contracts().values())
