"""The Spark server that our commands start answers only clients with its token, which nothing shows."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.skipif(os.environ.get("TEST_SPARK") == "classic", reason="there is no server")
TOKEN = "SPARK_CONNECT_AUTHENTICATE_TOKEN"
ASK_SPARK = """
from jobs.lake.session import spark_session
print(spark_session("unused").sql("SELECT 41 + 1 AS answer").collect()[0].answer)
"""


def ask_spark(**environment: str) -> subprocess.CompletedProcess[str]:
    """Ask the server of the tests in a process of its own. An empty value removes a variable."""
    env = {name: value for name, value in {**os.environ, **environment}.items() if value}
    return subprocess.run([sys.executable, "-c", ASK_SPARK], env=env, capture_output=True, text=True)


def test_a_client_with_the_token_is_answered() -> None:
    assert ask_spark().stdout == "42\n"


@pytest.mark.parametrize("token", ["", "a guess"])
def test_a_client_without_the_token_is_refused(token: str) -> None:
    refused = ask_spark(**{TOKEN: token})
    assert refused.returncode != 0
    assert "UNAUTHENTICATED" in refused.stderr


def test_a_job_without_the_token_says_which_variable_is_missing(tmp_path: Path) -> None:
    event = '{"event_id": "e", "item_id": "i", "event": "click", "ts": "2026-11-20"}'
    (tmp_path / "events.jsonl").write_text(event)
    command = [sys.executable, "-m", "jobs.ingest", "--day", "2026-11-20", "--data", str(tmp_path)]
    env = {**os.environ, "LAKE": str(tmp_path / "lake"), TOKEN: "a guess", "SIDEREAL_LANDING__LOCAL_MIB": "0"}
    failed = subprocess.run(command, env=env, capture_output=True, text=True)
    assert failed.stderr.splitlines()[-1].endswith(f"set {TOKEN} to the token of the server")


def test_the_token_is_in_no_command_line_and_not_in_the_log_of_the_server() -> None:
    token, remote = os.environ[TOKEN], os.environ["SPARK_REMOTE"]
    assert token not in remote
    commands = {process.pid: process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])}
    assert not [pid for pid, words in commands.items() if any(token in word for word in words)]
    port = f"spark.connect.grpc.binding.port={remote.rsplit(':')[-1]}"
    logs = {os.readlink(f"/proc/{pid}/fd/1") for pid, words in commands.items() if port in words}
    assert logs
    for log in logs:
        assert token not in Path(log).read_text()
