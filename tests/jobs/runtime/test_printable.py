"""Text of logs on a terminal: what would move the cursor or hide something appears as a code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from expectations import silver_items
from jobs.lake import Lake, UserError
from jobs.lake.checks import DOCS, check
from jobs.lake.shell import answer
from jobs.runtime.printable import printable
from jobs.runtime.progress import steps
from tests.jobs.lake_rows import DAY, put

UNSAFE = "a\x1b[31mred\x1b]0;title\x07\x9b2J\r\nnext\u202eline\udcff"
SHOWN = r"a\x1b[31mred\x1b]0;title\x07\x9b2J\r\nnext\u202eline\udcff"


@pytest.mark.parametrize(
    ("text", "shown"),
    [(UNSAFE, SHOWN), ("Größe \u3000 日本 \N{EM DASH} 👩\u200d🔬", "Größe \u3000 日本 \N{EM DASH} 👩\u200d🔬")],
)
def test_only_characters_that_a_terminal_obeys_are_replaced(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_step_that_names_a_file_cannot_change_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    steps()(f"reading {UNSAFE}")
    assert capfd.readouterr().err.startswith(f"reading {SHOWN}  (after")


def test_an_error_that_names_a_file_is_one_line_without_control_characters(tmp_path: Path) -> None:
    landing = tmp_path / "land\x1b[31m\nlanded: all is well"
    command = [sys.executable, "-m", "jobs.ingest", "--day", f"{DAY}", "--data", str(landing)]
    env = {**os.environ, "LAKE": str(tmp_path / "lake")}
    failed = subprocess.run(command, env=env, capture_output=True, text=True)
    assert failed.returncode == 1
    assert r"land\x1b[31m\nlanded: all is well" in failed.stderr.splitlines()[-1]
    assert "\x1b" not in failed.stderr


def test_the_sql_shell_shows_control_characters_of_a_value(lake: Lake) -> None:
    table = answer(lake.spark, "SELECT concat('a', chr(27), '[31mred') AS value")
    assert r"a\x1b[31mred" in table
    assert "\x1b" not in table


def test_data_docs_show_wrong_values_without_control_characters_or_markup(lake: Lake) -> None:
    row = {"item_id": "i1", "title": "kettle", "text": "kettle", "file": "items.jsonl", "line": 1, "day": DAY}
    put(lake, "silver.items", [row | {"content_hash": "wrong\x1b[31m<script>alert(1)</script>"}])
    with pytest.raises(UserError, match="breaks"):
        check(lake, "silver.items", silver_items)
    pages = "".join(page.read_text() for page in Path(lake.root, DOCS, "validations").rglob("*.html"))
    assert r"wrong\x1b[31m&lt;script&gt;alert(1)" in pages
    assert "<script>alert" not in pages
    assert "\x1b" not in pages
