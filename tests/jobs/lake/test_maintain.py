"""What `maintain` merges and deletes, and what stays."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

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


def forget_at_once(lake: Lake, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let these tables treat files as old that were replaced a moment ago."""
    monkeypatch.setattr(maintain, "RETENTION_HOURS", 0)
    for name in contracts():
        hours = 0 if name in names else 24
        interval = {"delta.deletedFileRetentionDuration": f"interval {hours} hours"}
        DeltaTable(lake.path(name)).alter.set_table_properties(interval)


def read_pairs(lake: Lake, version: int | None = None) -> list[str]:
    return sorted(lake.arrow(PAIRS, version=version)["item_a"].to_pylist())


def test_old_versions_go_but_not_those_that_a_kept_release_names(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    maintain_settings = settings.model_copy(update={"maintain": settings.maintain.model_copy(update={"releases": 2})})
    monkeypatch.setattr(maintain, "contracts", lambda: {PAIRS: contracts()[PAIRS]})
    forget_at_once(lake, monkeypatch, PAIRS)
    versions = [lake.replace(PAIRS, pair(item), day=DAY) for item in ("a", "b", "c", "d", "e")]
    releases = [release_row(n + 1, DAY) | {"tables": [(PAIRS, version)]} for n, version in enumerate(versions[:4])]
    put(lake, "gold.releases", releases)
    stray = Path(lake.path(PAIRS)) / f"day={DAY}" / "part-of-a-killed-run.parquet"
    stray.write_bytes(b"half a file")
    notes = maintain.run(lake, maintain_settings, DAY).notes
    assert [read_pairs(lake, version) for version in versions[2:]] == [["c"], ["d"], ["e"]]
    with pytest.raises(UserError, match="item_pairs"):
        read_pairs(lake, versions[1])
    assert not stray.exists()
    assert notes == {"files_merged": 0, "files_deleted": 3}
    put(lake, "gold.releases", [*releases, release_row(5, DAY) | {"tables": [(PAIRS, 999)]}])  # a version that is gone
    assert maintain.run(lake, maintain_settings, DAY).notes["files_deleted"] == 1
    assert read_pairs(lake, versions[3]) == ["d"]


def test_small_files_are_merged_and_no_row_changes(lake: Lake, settings: Settings) -> None:
    for item in ("a", "b", "c"):
        lake.append(VECTORS, vector(item))
    before = lake.version(VECTORS)
    assert maintain.run(lake, settings, DAY).notes == {"files_merged": 3, "files_deleted": 0}
    assert len(DeltaTable(lake.path(VECTORS)).file_uris()) == 1
    for version in (before, None):
        assert lake.arrow(VECTORS, version=version).sort_by("item_id")["item_id"].to_pylist() == ["a", "b", "c"]
    assert lake.query(f"SELECT item_id FROM {VECTORS} WHERE item_id = 'b'").num_rows == 1
    assert maintain.run(lake, settings, DAY).notes["files_merged"] == 0


def test_a_run_does_not_take_merged_files_for_new_events(lake: Lake, settings: Settings) -> None:
    lake.append(VECTORS, vector("a"))
    lake.append(VECTORS, vector("b"))
    task = Lake(lake.root, run_id="task")
    pin_run(task, task.create(), "samples", DAY)
    maintain.run(lake, settings, DAY)
    assert lake.version(VECTORS) > task.pins[VECTORS]
    assert not was_rewritten(task, VECTORS, [DAY])
    lake.replace(VECTORS, vector("c"), day=DAY)
    assert was_rewritten(task, VECTORS, [DAY])
    assert not was_rewritten(task, VECTORS, [BEFORE])
