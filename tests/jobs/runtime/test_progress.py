"""Progress: a few lines in a log, a bar on a terminal that leaves standard output alone."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs.runtime.progress import heartbeat, progress, steps

SCRIPT = """
import sys
from jobs.runtime.progress import progress
unfinished = progress("stopped early")
unfinished(1, 10)
report = progress("training")
for done in range(1, 4):
    report(done, 3)
failing = progress("failing")
failing(1, 10)
print('{"rows": 3}', flush=True)
sys.exit("it failed")
"""


def test_a_log_has_lines_with_share_and_time_left_and_always_a_last_one(capfd: pytest.CaptureFixture[str]) -> None:
    report = progress("training", every=0)
    for done in (1_000, 2_500, 4_000):
        report(done, 4_000)
    first, second, last = capfd.readouterr().err.splitlines()
    assert first == "training  1,000 of 4,000  25 %"
    assert re.fullmatch(r"training  2,500 of 4,000  62 %  about \d+ s left", second)
    assert re.fullmatch(r"training  4,000 of 4,000  100 %  in \d+ s", last)


def test_a_log_is_not_flooded(capfd: pytest.CaptureFixture[str]) -> None:
    report = progress("training", every=60)
    for done in range(1, 1_001):
        report(done, 1_000)
    assert capfd.readouterr().err.startswith("training  1,000 of 1,000  100 %  in ")


def test_nothing_to_do_is_done(capfd: pytest.CaptureFixture[str]) -> None:
    progress("training")(0, 0)
    assert capfd.readouterr().err.startswith("training  0 of 0  100 %  in ")


def test_a_step_is_named_with_the_time_so_far(capfd: pytest.CaptureFixture[str]) -> None:
    steps()("reading 16 files")
    assert re.fullmatch(r"reading 16 files  \(after \d+ s\)\n", capfd.readouterr().err)


def test_a_long_step_is_repeated_with_the_time_so_far(capfd: pytest.CaptureFixture[str]) -> None:
    with heartbeat("ingest", every=0.1):
        time.sleep(0.3)
        steps()("reading 16 files")
        time.sleep(0.3)
    time.sleep(0.3)  # after the job it stays silent
    lines = [line.split("  ")[0] for line in capfd.readouterr().err.splitlines()]
    assert lines[0] == "ingest is running"
    assert set(lines) == {"ingest is running", "reading 16 files"}
    assert 2 <= lines.count("reading 16 files") <= 4


def test_a_long_pause_repeats_how_far_the_work_is(capfd: pytest.CaptureFixture[str]) -> None:
    with heartbeat("train", every=0.1):
        report = progress("training", every=0)
        report(1, 4)
        time.sleep(0.3)
        report(4, 4)
        time.sleep(0.3)
    lines = [re.split(r"  \(|  about|  in", line)[0] for line in capfd.readouterr().err.splitlines()]
    assert lines.count("training  1 of 4  25 %") >= 2
    assert lines.count("training  4 of 4  100 %") == 1
    assert lines[-1] == "train is running"


def test_a_terminal_shows_one_bar_which_is_gone_at_the_end_also_after_an_error() -> None:
    terminal, stderr = os.openpty()
    root = Path(__file__).parents[3]
    job = subprocess.run([sys.executable, "-c", SCRIPT], cwd=root, stdout=subprocess.PIPE, stderr=stderr, text=True)
    os.close(stderr)
    shown = b""
    while chunk := _read(terminal):
        shown += chunk
    os.close(terminal)
    assert (job.returncode, job.stdout) == (1, '{"rows": 3}\n')
    assert b"training  3 of 3  100 %  in " in shown
    assert b"it failed" in shown
    assert shown.endswith(b"\x1b[2K")  # the bar's line is cleared
    assert shown.count(b"\x1b[?25h") == shown.count(b"\x1b[?25l") == 3  # the cursor is back


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # its other end is closed
        return b""
