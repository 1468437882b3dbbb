"""What the tests of generators share."""

import pytest

from jobs.generation import trained


@pytest.fixture
def open_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the generator go live however it compares with the graph, and on however many items."""
    monkeypatch.setattr(trained, "_find_objection", lambda *_: None)
    monkeypatch.setattr(trained, "MIN_NEW_ITEMS", 1)
