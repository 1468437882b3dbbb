"""What `maintain` merges and deletes, and what stays."""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from jobs import maintain
from jobs.lake import Lake, UserError
from jobs.lake.contracts import contracts
from jobs.lake.run_state import pin_run, was_rewritten
from jobs.settings.tree import Settings
from tests.jobs.lake_rows import DAY, put, release_row

PAIRS, VECTORS = "silver.item_pairs", "gold.item_embeddings"
BEFORE = DAY - timedelta(days=1)


def pair(item: str) -> pa.Table:
    row = {"item_a": item, "item_b": "z", "source": "swing", "score": 1.0, "day": DAY}
    return pa.Table.from_pylist([row], contracts()[PAIRS].arrow)


def vector(item: str) -> pa.Table:
    row: dict[str, Any] = {"item_id": item, "content_hash": "h", "vector": [1.0], "encoder_version": "e", "day": DAY}
    return pa.Table.from_pylist([row], contracts()[VECTORS].arrow)


def forget_at_once(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `maintain` look at the pairs alone, and treat their files as old that were replaced a moment ago."""
    monkeypatch.setattr(maintain, "RETENTION_HOURS", 0)
    monkeypatch.setattr(maintain, "contracts", lambda: {PAIRS: contracts()[PAIRS]})
    no_time = {"delta.deletedFileRetentionDuration": "interval 0 hours"}
    DeltaTable(lake.path(PAIRS)).alter.set_table_properties(no_time)


def read_pairs(lake: Lake, version: int | None = None) -> list[str]:
    return sorted(lake.arrow(PAIRS, version=version)["item_a"].to_pylist())


def test_old_versions_go_but_not_those_that_a_kept_release_names(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    maintain_settings = settings.model_copy(update={"maintain": settings.maintain.model_copy(update={"releases": 2})})
    forget_at_once(lake, monkeypatch)
    versions = [lake.replace(PAIRS, pair(item), day=DAY) for item in ("a", "b", "c", "d", "e")]
    same_model = {"model_version": "m"}
    releases = [
        release_row(n + 1, DAY) | same_model | {"tables": [(PAIRS, version)]} for n, version in enumerate(versions[:4])
    ]
    put(lake, "gold.releases", releases)
    stray = Path(lake.path(PAIRS)) / f"day={DAY}" / "part-of-a-killed-run.parquet"
    stray.write_bytes(b"half a file")
    notes = maintain.run(lake, maintain_settings, DAY).notes
    assert [read_pairs(lake, version) for version in versions[2:]] == [["c"], ["d"], ["e"]]
    with pytest.raises(UserError, match="item_pairs"):
        read_pairs(lake, versions[1])
    assert not stray.exists()
    assert notes == {"days_merged": 0, "files_merged": 0, "files_deleted": 3, "versions_gone": 0}


def test_a_version_that_the_log_no_longer_has_is_counted(lake: Lake, settings: Settings) -> None:
    lake.replace(PAIRS, pair("a"), day=DAY)
    put(lake, "gold.releases", [release_row(1, DAY) | {"tables": [(PAIRS, 999)]}])
    assert maintain.run(lake, settings, DAY).notes == {
        "days_merged": 0,
        "files_merged": 0,
        "files_deleted": 0,
        "versions_gone": 1,
    }
    assert read_pairs(lake) == ["a"]


def test_after_maintain_a_rollback_still_finds_its_tables(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_at_once(lake, monkeypatch)
    items = ("a", "b", "c", "d", "e", "f", "g")
    versions = [lake.replace(PAIRS, pair(item), day=DAY) for item in items]
    models = ("m1", "m1", "m2", "m2", "m3", "m3", "m3")
    releases = [
        release_row(n + 1, DAY) | {"model_version": model, "tables": [(PAIRS, version)]}
        for n, (model, version) in enumerate(zip(models, versions, strict=True))
    ]
    put(lake, "gold.releases", releases)
    few = settings.model_copy(update={"maintain": settings.maintain.model_copy(update={"releases": 1})})
    maintain.run(lake, few, DAY)
    assert [read_pairs(lake, versions[n]) for n in (6, 3, 1)] == [["g"], ["d"], ["b"]]  # live, and two rollbacks
    with pytest.raises(UserError):
        read_pairs(lake, versions[2])


def test_the_log_of_a_version_lasts_a_year_also_in_lakes_of_earlier_versions(lake: Lake) -> None:
    shutil.rmtree(lake.path(PAIRS))
    DeltaTable.create(lake.path(PAIRS), contracts()[PAIRS].delta, partition_by=["day"])  # as they were made before
    for _ in range(2):
        version = lake.create()[PAIRS]
        for name in (PAIRS, VECTORS):
            properties = DeltaTable(lake.path(name)).metadata().configuration
            assert properties["delta.logRetentionDuration"] == "interval 365 days"
    assert lake.create()[PAIRS] == version  # once is enough


def test_young_files_stay_whatever_names_them(lake: Lake, settings: Settings) -> None:
    versions = [lake.replace(PAIRS, pair(item), day=DAY) for item in ("a", "b")]
    young = Path(lake.path(PAIRS)) / f"day={DAY}" / "part-of-a-running-job.parquet"
    young.write_bytes(b"half a file")
    maintain.run(lake, settings, DAY)
    assert young.exists()
    assert read_pairs(lake, versions[0]) == ["a"]


def test_a_run_whose_versions_are_gone_says_what_to_do(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_at_once(lake, monkeypatch)
    versions = [lake.replace(PAIRS, pair(item), day=DAY) for item in ("a", "b")]
    maintain.run(lake, settings, DAY)
    lake.pins = {PAIRS: versions[0]}
    for read in (read_pairs, lambda lake: lake.query(f"SELECT * FROM {PAIRS}")):
        with pytest.raises(UserError, match="clear ingest"):
            read(lake)


def test_small_files_are_merged_and_no_row_changes(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for item in ("a", "b", "c"):
        lake.append(VECTORS, vector(item))
    before = lake.version(VECTORS)
    assert maintain.run(lake, settings, DAY).notes["files_merged"] == 0  # a run may still work on this day
    monkeypatch.setattr(maintain, "QUIET", timedelta(0))
    assert maintain.run(lake, settings, DAY).notes == {
        "days_merged": 0,
        "files_merged": 3,
        "files_deleted": 0,
        "versions_gone": 0,
    }
    assert len(DeltaTable(lake.path(VECTORS)).file_uris()) == 1
    for version in (before, None):
        assert lake.arrow(VECTORS, version=version).sort_by("item_id")["item_id"].to_pylist() == ["a", "b", "c"]
    assert lake.query(f"SELECT item_id FROM {VECTORS} WHERE item_id = 'b'").num_rows == 1
    assert maintain.run(lake, settings, DAY).notes["files_merged"] == 0


def test_a_table_that_is_merged_while_it_is_written_again_has_no_row_twice(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = contracts()["silver.items"].arrow
    row = {"item_id": "i", "title": "t", "text": "t", "content_hash": "x", "file": "f", "line": 1, "day": DAY}
    for item in ("a", "b"):
        lake.append("silver.items", pa.Table.from_pylist([row | {"item_id": item}], schema))

    properties = lake.commit_properties  # asked for after the table was opened

    def maintain_then_commit(**options: Any) -> Any:
        assert maintain.run(Lake(lake.root), settings, DAY).notes["files_merged"] == 2
        return properties(**options)

    monkeypatch.setattr(lake, "commit_properties", maintain_then_commit)
    with pytest.raises(CommitFailedError):
        lake.upsert("silver.items", pa.Table.from_pylist([row | {"item_id": "c"}], schema), "item_id")
    assert sorted(lake.arrow("silver.items")["item_id"].to_pylist()) == ["a", "b"]


def test_a_run_does_not_take_merged_files_for_new_events(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintain, "QUIET", timedelta(0))
    lake.append(VECTORS, vector("a"))
    lake.append(VECTORS, vector("b"))
    task = Lake(lake.root, run_id="task")
    pin_run(task, task.create(), "samples", DAY)
    maintain.run(lake, settings, DAY)
    assert lake.version(VECTORS) > task.pins[VECTORS]
    assert not was_rewritten(task, VECTORS, [DAY])
    other_day = pa.Table.from_pylist([vector("d").to_pylist()[0] | {"day": BEFORE}], contracts()[VECTORS].arrow)
    lake.append(VECTORS, other_day)
    assert not was_rewritten(task, VECTORS, [DAY])
    lake.replace(VECTORS, vector("c"), day=DAY)
    assert was_rewritten(task, VECTORS, [DAY])
    assert was_rewritten(task, VECTORS, [BEFORE])
    assert not was_rewritten(task, VECTORS, [BEFORE - timedelta(days=1)])
