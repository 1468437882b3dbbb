"""The command line of a job."""

import json
import os
import subprocess
import sys
from pathlib import Path

from jobs.lake import Lake

NOISY_JOB = """
import atexit, sys
from jobs.lake import JobResult
from jobs.runtime.entry import main

def run(lake, settings, day):
    atexit.register(print, "a library says goodbye", file=sys.stderr)
    return JobResult(rows_in=3, rows_out=3)

main(run)
"""


def test_nothing_follows_the_result_line_of_a_job(lake: Lake) -> None:
    command = [sys.executable, "-c", NOISY_JOB, "--day", "2026-11-20"]
    env = {**os.environ, "LAKE": lake.root}
    output = subprocess.run(
        command, cwd=Path(__file__).parents[3], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ).stdout
    assert json.loads(output.splitlines()[-1])["rows_in"] == 3
