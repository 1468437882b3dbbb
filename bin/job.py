"""Run one job in the jobs' own environment and read its answer."""

from __future__ import annotations

import subprocess

from place import REPOSITORY

PYTHON = str(REPOSITORY / ".venv/jobs/bin/python")


class Mistake(Exception):
    """Something the user can mend: one sentence."""


def job(name: str, *arguments: str) -> str:
    """Run a job and return the last line that it printed; its mistake becomes ours."""
    command = [PYTHON, "-m", f"jobs.{name}", *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    if done.returncode:
        raise Mistake(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"jobs.{name} failed")
    return done.stdout.strip().splitlines()[-1]
