"""A RowSaver saves while its caller waits, and passes on what went wrong."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from jobs.item_pairs import row_saver
from jobs.item_pairs.row_saver import RowSaver
from jobs.lake import Lake
from tests.jobs.lake_rows import DAY

TABLE = "silver.item_verdicts"


def rows(*items: str) -> list[dict[str, Any]]:
    return [{"item_a": item, "item_b": "z", "verdict": "yes", "reason": "", "judge_seconds": None} for item in items]


def open_saver(lake: Lake) -> RowSaver:
    return RowSaver(lake, TABLE, judge_version="judge", day=DAY)


def saved_items(lake: Lake) -> set[str]:
    return set(lake.arrow(TABLE)["item_a"].to_pylist())


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_rows_are_saved_before_the_next_rows_arrive(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_saver, "SAVE_EVERY", 0.05)
    with open_saver(lake) as saver:
        saver.add(rows("a", "b"))
        saver.add(rows("c"))
        wait_until(lambda: saved_items(lake) == set("abc"))
        saver.add(rows("d"))
        wait_until(lambda: saved_items(lake) == set("abcd"))
    assert saver.commits > 1
    assert len(lake.delta(TABLE).file_uris()) == 1
    assert lake.outputs[TABLE] == lake.version(TABLE)
    assert not saver.saver.is_alive()


def test_a_save_that_fails_stops_the_caller_and_loses_nothing(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_saver, "SAVE_EVERY", 0.05)
    append, failures = Lake.append, [OSError("No space left on device")]

    def append_or_fail(self: Lake, *args: Any) -> None:
        if failures:
            raise failures.pop()
        append(self, *args)

    def save_rows() -> None:
        with open_saver(lake) as saver:
            saver.add(rows("a"))
            wait_until(lambda: bool(saver.failure))
            saver.add(rows("b"))

    monkeypatch.setattr(Lake, "append", append_or_fail)
    with pytest.raises(OSError, match="No space left"):
        save_rows()
    assert saved_items(lake) == {"a"}
