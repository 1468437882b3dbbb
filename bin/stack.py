"""Bring up what a lake's runs need: Airflow's state and processes, and where it helps a Spark server."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from airflow_api import Airflow
from airflow_env import AIRFLOW, address, environment, prepare
from place import Place
from services import ServiceError, Services

WAIT = 180.0  # seconds for a service to answer, on a slow machine


def wait_for(what: str, ready: Callable[[], bool], services: Services) -> None:
    """Return once `ready()`; raise ServiceError if a service ends or nothing answers in time."""
    deadline = time.monotonic() + WAIT
    while not ready():
        services.check()
        if time.monotonic() > deadline:
            raise ServiceError(f"{what} did not start within {WAIT:.0f} s; the logs are in {services.logs}")
        time.sleep(0.3)


def start_airflow(services: Services, place: Place, host: str, port: int, extra: dict[str, str]) -> Airflow:
    """Start API server, DAG processor and scheduler; return when they answer and have read the DAG."""
    env = {**environment(place.state, host, port), **extra, "LAKE": place.lake}
    prepare(env)
    moment = datetime.now(UTC)
    client = Airflow(address(host, port), place.state / "airflow/passwords.json")
    services.start("api-server", [str(AIRFLOW), "api-server"], env)
    services.start("dag-processor", [str(AIRFLOW), "dag-processor"], env)
    services.start("scheduler", [str(AIRFLOW), "scheduler", "--skip-serve-logs"], env)
    wait_for("Airflow's API server", client.answers, services)
    client.warm_up()
    wait_for("Airflow's DAG processor", lambda: _parsed(client, moment), services)
    return client


def _parsed(client: Airflow, moment: datetime) -> bool:
    if errors := client.import_errors():
        raise ServiceError(f"dags/daily.py cannot be imported:\n{errors[0]}")
    return client.parsed_since(moment)
