"""Where a lake can be, and what is said about a damaged one."""

from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from jobs.lake import Lake, UserError
from jobs.lake.contracts import contracts
from jobs.lake.lake import lake_root
from jobs.lake.session import compute_once
from tests.jobs.lake_rows import DAY


@pytest.mark.parametrize("place", ["a file", "a file/lake", "la$x", "50%"])
def test_a_place_that_cannot_hold_a_lake_is_named(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.setenv("LAKE", str(tmp_path / place))
    with pytest.raises(UserError, match="LAKE="):
        lake_root()


def test_a_new_folder_can_hold_a_lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKE", str(tmp_path / "new" / "lake"))
    assert lake_root() == str(tmp_path / "new" / "lake")


def test_rows_put_in_the_place_of_others_are_found_by_their_text(lake: Lake) -> None:
    schema = contracts()["silver.items"].arrow
    row = {
        "item_id": "i1",
        "title": "old",
        "text": "old",
        "content_hash": "x",
        "file": "items.jsonl",
        "line": 1,
        "day": DAY,
    }
    lake.upsert("silver.items", pa.Table.from_pylist([row, row | {"item_id": "i2"}], schema), "item_id")
    lake.upsert("silver.items", pa.Table.from_pylist([row | {"title": "new"}], schema), "item_id")
    assert lake.query("SELECT title FROM silver.items WHERE item_id = :item", item="i1")["title"].to_pylist() == ["new"]
    in_arrow = lake.arrow("silver.items", ["item_id", "title"], ds.field("title").isin(["old"]))
    assert in_arrow.to_pylist() == [{"item_id": "i2", "title": "old"}]
    lake.delete("silver.items", "item_id", pa.array(["i1", "i3"]))
    left = lake.arrow("silver.items", ["item_id"], ds.field("item_id") >= "i0")
    assert left.to_pylist() == [{"item_id": "i2"}]
    assert lake.query("SELECT item_id FROM silver.items WHERE item_id IN :items", items=["i1", "i2"]).num_rows == 1


def test_a_table_whose_log_is_cut_off_is_named(lake: Lake) -> None:
    commit = max(Path(lake.path("silver.items"), "_delta_log").glob("*.json"))
    commit.write_bytes(commit.read_bytes()[:40])
    with pytest.raises(UserError, match=r"table silver\.items in .* is damaged"):
        Lake(lake.root).create()


def test_rows_computed_once_need_their_source_no_more(lake: Lake, tmp_path: Path) -> None:
    pq.write_table(pa.table({"number": range(3)}), tmp_path / "rows.parquet")
    rows = compute_once(lake.spark.read.parquet(str(tmp_path / "rows.parquet")))
    (tmp_path / "rows.parquet").unlink()
    assert {row["number"] for row in rows.collect()} == {0, 1, 2}
    rows.unpersist()
