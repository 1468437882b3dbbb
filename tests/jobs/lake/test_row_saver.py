"""The journal saves while its caller waits, and tells what went wrong."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from jobs.lake import Lake
from jobs.lake import row_saver as journal
from jobs.lake.row_saver import RowSaver
from tests.jobs.lake_rows import DAY

TABLE = "silver.item_verdicts"


def rows(*items: str) -> list[dict[str, Any]]:
    return [{"item_a": item, "item_b": "z", "verdict": "yes", "reason": "", "judge_seconds": None} for item in items]


def open_journal(lake: Lake) -> RowSaver:
    return RowSaver(lake, TABLE, judge_version="one", day=DAY)


def saved(lake: Lake) -> set[str]:
    return set(lake.arrow(TABLE)["item_a"].to_pylist())


def wait(until: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not until():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_came_in_a_burst_is_saved_before_the_next_one_comes(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "SAVE_EVERY", 0.05)
    with open_journal(lake) as held:
        held.add(rows("a", "b"))
        held.add(rows("c"))
        wait(lambda: saved(lake) == set("abc"))
        held.add(rows("d"))
        wait(lambda: saved(lake) == set("abcd"))
    assert held.commits > 1
    assert len(lake.delta(TABLE).file_uris()) == 1
    assert lake.outputs[TABLE] == lake.version(TABLE)
    assert not held.saver.is_alive()


def test_a_save_that_fails_stops_the_caller_and_loses_nothing(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "SAVE_EVERY", 0.05)
    append, failures = Lake.append, [OSError("No space left on device")]

    def failing(self: Lake, *args: Any) -> None:
        if failures:
            raise failures.pop()
        append(self, *args)

    def fill() -> None:
        with open_journal(lake) as held:
            held.add(rows("a"))
            wait(lambda: bool(held.failure))
            held.add(rows("b"))

    monkeypatch.setattr(Lake, "append", failing)
    with pytest.raises(OSError, match="No space left"):
        fill()
    assert saved(lake) == {"a"}
