"""What `make run` prints: text of logs cannot change the terminal."""

import io
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import run_job
from rich.console import Console
from summary import print_summary

REPOSITORY = Path(__file__).resolve().parents[2]

ESCAPES = "events\x1b[31m\x07.jsonl"
SHOWN = r"events\x1b[31m\x07.jsonl"


def test_the_last_line_of_a_task_is_shown_without_control_characters(tmp_path: Path) -> None:
    log = tmp_path / "attempt=1.log"
    log.write_text(json.dumps({"event": f"reading {ESCAPES}", "logger": "airflow.SubprocessHook"}) + "\n")
    code = f"from pathlib import Path; from run_progress import last_output; print(last_output(Path({str(log)!r})))"
    command = [str(REPOSITORY / ".venv/airflow/bin/python"), "-c", code]  # the environment in which `make run` runs
    output = subprocess.run(command, cwd=REPOSITORY / "bin", capture_output=True, text=True, check=True).stdout
    assert output == f"reading {SHOWN}\n"


def test_the_reason_of_a_day_is_shown_without_control_characters() -> None:
    row: dict[str, Any] = {
        "day": "2026-11-20",
        "seconds": {},
        "startup": {},
        "champion": None,
        "challenger": None,
        "promoted": False,
        "generator_live": None,
    }
    counts = ("rows_in", "rows_rejected", "rows_duplicate", "rows_conflicting", "items_embedded", "collision_rate")
    row |= dict.fromkeys(counts, 0) | {"hit_rates": {"live": 0.1, "popular": None}}
    row |= {"reason": ESCAPES, "rolled_back_by": None, "report": f"/lake/{ESCAPES}"}
    output = io.StringIO()
    print_summary([row], Console(file=output, width=200))
    assert f"2026-11-20: {SHOWN}" in output.getvalue()
    assert "\x1b" not in output.getvalue()
    assert "rows conflicting" not in output.getvalue()
    assert "generator live" not in output.getvalue()
    print_summary([row | {"rows_conflicting": 2, "generator_live": False}], Console(file=output, width=200))
    assert "rows conflicting" in output.getvalue()
    assert re.search(r"generator live +no\n", output.getvalue())
    assert re.search(r"hit rate at 10, lists +10\.00%\n", output.getvalue())


def test_the_error_of_a_job_is_shown_without_control_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = tmp_path / "python"
    job.write_text("#!/bin/sh\nprintf 'days failed: \\033[31m' >&2\nexit 1\n")
    job.chmod(0o755)
    monkeypatch.setattr(run_job, "PYTHON", str(job))
    with pytest.raises(run_job.UserError, match=r"^days failed: \\x1b\[31m$"):
        run_job.run_job("landing.days")
