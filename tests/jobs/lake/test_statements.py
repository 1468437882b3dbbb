"""Values stay values in SQL, whatever they hold; quotes and comments stay unchanged."""

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame

from jobs.lake import Lake
from jobs.lake.statements import fill_in, split_statements
from tests.jobs.lake_rows import DAY, put, rows_of

TABLE = "silver.item_verdicts"
ODD_TEXTS = [
    "x' OR 1=1 --", "\\' OR 1=1 --", "a\\b", "\\", "it''s", 'double "quotes"', "`back`", "two\nlines\r\n\ttab",
    "é 漢字 😀 \u2028", "100%_", "${env:HOME}", "{x} :day $day", "see silver.events", "a=b/c",
]  # fmt: skip


def verdict(item: str, judge: str, days_ago: int = 0) -> dict[str, Any]:
    return {"item_a": item, "item_b": "z", "judge_version": judge, "verdict": "yes", "reason": "",
            "day": DAY - timedelta(days_ago)}  # fmt: skip


def no_rows(lake: Lake, engine: str) -> pa.Table | DataFrame:
    text = f"SELECT * FROM {TABLE} WHERE false"
    return lake.query(text) if engine == "arrow" else lake.sql(text)


@pytest.fixture
def odd_lake(lake: Lake) -> Lake:
    """One verdict for each odd text, with the text as its `item_a`, and one plain verdict."""
    put(lake, TABLE, [verdict(text, "plain") for text in [*ODD_TEXTS, "plain"]])
    return lake


@pytest.mark.parametrize("engine", ["query", "sql"])
def test_a_value_finds_the_row_that_holds_it_and_no_other(odd_lake: Lake, engine: str) -> None:
    values = {f"text_{number}": text for number, text in enumerate(ODD_TEXTS)}
    cases = " ".join(f"WHEN item_a = :{name} THEN concat('{name} ', :{name})" for name in values)
    rows = getattr(odd_lake, engine)(f"SELECT item_a, CASE {cases} END AS text FROM {TABLE}", **values)
    expected = {text: f"{name} {text}" for name, text in values.items()} | {"plain": None}
    assert dict(rows_of(rows)) == expected


@pytest.mark.parametrize("engine", ["query", "sql"])
def test_numbers_days_and_lists_of_days_are_parameters_too(lake: Lake, engine: str) -> None:
    put(lake, TABLE, [verdict(str(age), "plain", age) for age in range(4)])
    text = f"""SELECT CAST(item_a AS INT) + :plus AS age FROM {TABLE} -- not :plus
               WHERE day IN :days AND day < :before AND ':plus' <> '' AND :half < 1"""
    days = [DAY, DAY - timedelta(2), DAY - timedelta(3)]
    rows = getattr(lake, engine)(text, plus=10, days=days, before=DAY, half=0.5, unused="x")
    assert sorted(rows_of(rows)) == [(12,), (13,)]


@pytest.mark.classic
@pytest.mark.parametrize("engine", ["arrow", "spark"])
def test_a_partition_of_any_name_is_replaced_and_no_other(lake: Lake, engine: str) -> None:
    judges = ODD_TEXTS if engine == "arrow" else ODD_TEXTS[:3]  # a Spark commit takes seconds
    put(lake, TABLE, [verdict("old", judge) for judge in [*judges, "plain"]])
    for judge in judges:
        lake.replace(TABLE, no_rows(lake, engine), judge_version=judge, day=DAY)
    assert lake.arrow(TABLE)["judge_version"].to_pylist() == ["plain"]


@pytest.mark.parametrize("engine", ["arrow", "spark"])
def test_several_days_are_replaced_at_once(lake: Lake, engine: str) -> None:
    put(lake, TABLE, [verdict(str(age), "plain", age) for age in range(3)])
    lake.replace(TABLE, no_rows(lake, engine), day=[DAY, DAY - timedelta(2)])
    assert lake.arrow(TABLE)["item_a"].to_pylist() == ["1"]


def test_names_in_quotes_and_comments_are_not_filled_in() -> None:
    text = "SELECT ':day', `:day`, x::INT -- silver.items :day\nFROM silver.items /* :day */ WHERE d = :day AND a = :b"
    filled = "SELECT ':day', `:day`, x::INT -- silver.items :day\nFROM items /* :day */ WHERE d = 3 AND a = :b"
    assert fill_in(text, lambda name: name.removeprefix("silver."), {"day": "3"}) == filled


@pytest.mark.parametrize(
    ("text", "statements", "unfinished"),
    [
        ("SELECT ';' -- one; two\n; SELECT `a;b`;\nSELECT 3", ["SELECT ';' -- one; two", "SELECT `a;b`"], "\nSELECT 3"),
        (r"SELECT 'it\'s;', ';'';', /* a; */ ';' ; x", [r"SELECT 'it\'s;', ';'';', /* a; */ ';'"], " x"),
        ("SELECT 1; SELECT 'open;", [], "SELECT 1; SELECT 'open;"),
        ("SELECT 1; /* open;", [], "SELECT 1; /* open;"),
        ("SELECT X'1G'; SELECT 3;", ["SELECT X'1G'", "SELECT 3"], ""),  # Spark says what is wrong with the number
        ("; -- nothing\n;;", [], ""),
    ],
)
def test_a_semicolon_in_quotes_or_a_comment_does_not_end_a_statement(
    text: str, statements: list[str], unfinished: str
) -> None:
    assert split_statements(text) == (statements, unfinished)
