"""Services of a run: what happens when one of them ends."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import services as module
from services import ServiceError, Services

COMMAND = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(600)"]


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    monkeypatch.setattr(module, "SECONDS_BEFORE_RESTART", 0.0)
    services = Services(tmp_path, restarts=1)
    services.start("sleeper", COMMAND, dict(os.environ))
    services.wait_until_ready("sleeper", lambda: services.log("sleeper").read_text() == "ready\n")
    yield services
    services.stop()


def kill(services: Services) -> None:
    services.running["sleeper"].kill()
    services.running["sleeper"].wait()


def test_a_service_that_ends_is_started_again_and_its_log_goes_on(
    services: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    services.check()
    kill(services)
    services.check()
    assert services.running["sleeper"].poll() is None
    assert "sleeper ended with code -9 and is started again" in capsys.readouterr().err
    deadline = time.monotonic() + 60
    while services.log("sleeper").read_text() != "ready\nready\n":
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_service_that_ends_too_often_is_an_error_that_names_its_log(services: Services) -> None:
    kill(services)
    services.check()
    kill(services)
    with pytest.raises(ServiceError, match=r"sleeper ended with code -9; its log is .*sleeper\.log"):
        services.check()
