"""Jobs run through a Spark Connect server, as in `make cluster`, and in a Spark session of their own process."""

import os
import subprocess
import sys
from pathlib import Path


def test_the_tests_marked_classic_also_pass_without_a_spark_server() -> None:
    of_server = ("SPARK_REMOTE", "SPARK_CONNECT_MODE_ENABLED")  # PySpark sets the second with its first session
    env = {name: value for name, value in os.environ.items() if name not in of_server}
    files = [str(file) for file in Path("tests/jobs").rglob("test_*.py") if "mark.classic" in file.read_text()]
    command = [sys.executable, "-m", "pytest", "-m", "classic", *files]
    run = subprocess.run(command, env=env | {"TEST_SPARK": "classic"}, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
