"""Rows that are staged, checked and published."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from pyspark.sql import DataFrame

from expectations import silver_item_pairs
from jobs.lake import Lake, UserError
from jobs.lake.checks import check
from jobs.lake.contracts import contracts
from jobs.lake.staging import Staging

DAY = date(2026, 11, 20)
PAIRS, ITEMS = "silver.item_pairs", "silver.items"
ENGINES = ["arrow", "spark"]


def table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, contracts()[name].arrow)


def pair(a: str, b: str, source: str = "swing", day: date = DAY) -> dict[str, Any]:
    return {"item_a": a, "item_b": b, "source": source, "score": 1.0, "day": day}


def item(name: str, text: str) -> dict[str, Any]:
    return {"item_id": name, "text": text, "content_hash": "0" * 64, "file": "f", "line": 1, "day": DAY}


def as_rows(lake: Lake, rows: pa.Table, engine: str) -> pa.Table | DataFrame:
    return rows if engine == "arrow" else lake.spark.createDataFrame(rows)


def pairs_seen(lake: Lake, engine: str) -> list[tuple[str, str, str]]:
    text = f"SELECT item_a, item_b, source FROM {PAIRS} AS p ORDER BY item_a"
    if engine == "spark":
        return [tuple(row) for row in lake.sql(text).collect()]
    if engine == "duckdb":
        return [tuple(row.values()) for row in lake.query(text).to_pylist()]
    rows = lake.arrow(PAIRS, ["item_a", "item_b", "source"]).sort_by("item_a")
    batches = lake.batches(PAIRS, ["item_a", "item_b", "source"])
    assert sorted(row["item_a"] for batch in batches for row in batch.to_pylist()) == rows["item_a"].to_pylist()
    return [tuple(row.values()) for row in rows.to_pylist()]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("partition", [{"day": DAY}, {"day": [DAY]}, {"day": DAY, "source": "swing"}])
def test_only_the_run_that_stages_rows_sees_them_until_they_are_published_in_one_commit(
    lake: Lake, engine: str, partition: dict[str, Any]
) -> None:
    other_day = pair("a", "b", day=DAY - timedelta(days=1))
    lake.replace(PAIRS, table(PAIRS, [other_day, pair("c", "d"), pair("e", "f")]))
    before = lake.version(PAIRS)
    with Staging(lake) as staging:
        staging.replace(PAIRS, as_rows(lake, table(PAIRS, [pair("g", "h")]), engine), **partition)
        for reader in ("arrow", "duckdb", "spark"):
            assert [row[0] for row in pairs_seen(lake, reader)] == ["a", "g"]
            assert [row[0] for row in pairs_seen(Lake(lake.root), reader)] == ["a", "c", "e"]
        assert lake.version(PAIRS) == before
    for reader in ("arrow", "duckdb", "spark"):
        assert [row[0] for row in pairs_seen(Lake(lake.root), reader)] == ["a", "g"]
    assert lake.outputs[PAIRS] == lake.version(PAIRS) == before + 1
    assert not [path for path in Path(lake.root, "staging").iterdir() if path.is_dir()]


@pytest.mark.parametrize("engine", ENGINES)
def test_merged_rows_replace_those_with_the_same_key(lake: Lake, engine: str) -> None:
    lake.replace(ITEMS, table(ITEMS, [item("i1", "old"), item("i2", "old")]))
    with Staging(lake) as staging:
        staging.merge(ITEMS, as_rows(lake, table(ITEMS, [item("i2", "new"), item("i3", "new")]), engine), key="item_id")
        expected = {"i1": "old", "i2": "new", "i3": "new"}
        text = f"SELECT item_id, text FROM {ITEMS}"
        assert dict(map(tuple, lake.sql(text).collect())) == expected
        assert {row["item_id"]: row["text"] for row in lake.query(text).to_pylist()} == expected
        assert {row["item_id"]: row["text"] for row in lake.arrow(ITEMS).to_pylist()} == expected
        is_new = ds.field("text") == "new"
        assert sorted(lake.arrow(ITEMS, ["item_id"], is_new)["item_id"].to_pylist()) == ["i2", "i3"]
    assert {row["item_id"]: row["text"] for row in Lake(lake.root).arrow(ITEMS).to_pylist()} == expected


@pytest.mark.parametrize("engine", ENGINES)
def test_rows_that_break_a_check_are_never_seen_and_nothing_is_left_of_them(lake: Lake, engine: str) -> None:
    lake.replace(PAIRS, table(PAIRS, [pair("c", "d")]), day=DAY)
    before = lake.version(PAIRS)

    def stage_and_check(rows: pa.Table) -> None:
        with Staging(lake) as staging:
            staging.replace(PAIRS, as_rows(lake, rows, engine), day=DAY)
            check(lake, PAIRS, silver_item_pairs, [DAY])

    with pytest.raises(UserError, match="every pair occurs once"):
        stage_and_check(table(PAIRS, [pair("g", "h"), pair("g", "h")]))
    assert lake.version(PAIRS) == before
    assert [row[0] for row in pairs_seen(lake, "arrow")] == ["c"]
    assert len(list(Path(lake.path(PAIRS)).rglob("*.parquet"))) == 1
    assert not [path for path in Path(lake.root, "staging").iterdir() if path.is_dir()]
