"""Run one job in the jobs' environment and return its result."""

from __future__ import annotations

import subprocess

from lake_state import REPOSITORY
from printable import printable

PYTHON = str(REPOSITORY / ".venv/jobs/bin/python")


class UserError(Exception):
    """Something that the user can correct. The message is one sentence."""


def run_job(name: str, *arguments: str) -> str:
    """Run `python -m jobs.<name>` and return the last line that it printed.

    raises  UserError with the job's error message if it failed
    """
    command = [PYTHON, "-m", f"jobs.{name}", *arguments]
    process = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    if process.returncode:
        errors = process.stderr.strip().splitlines()
        raise UserError(printable(errors[-1]) if errors else f"jobs.{name} failed without a message")
    return process.stdout.strip().splitlines()[-1]
