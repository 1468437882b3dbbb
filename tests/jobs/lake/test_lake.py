"""Where a lake can be, and what is said about a damaged one."""

from pathlib import Path

import pytest

from jobs.lake import Lake, UserError
from jobs.lake.lake import lake_root


@pytest.mark.parametrize("place", ["a file", "a file/lake", "la$x", "50%"])
def test_a_place_that_cannot_hold_a_lake_is_named(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.setenv("LAKE", str(tmp_path / place))
    with pytest.raises(UserError, match="LAKE="):
        lake_root()


def test_a_new_folder_can_hold_a_lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKE", str(tmp_path / "new" / "lake"))
    assert lake_root() == str(tmp_path / "new" / "lake")


def test_a_table_whose_log_is_cut_off_is_named(lake: Lake) -> None:
    commit = max(Path(lake.path("silver.items"), "_delta_log").glob("*.json"))
    commit.write_bytes(commit.read_bytes()[:40])
    with pytest.raises(UserError, match=r"table silver\.items in .* is damaged"):
        Lake(lake.root).create()
