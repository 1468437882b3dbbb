"""The few calls of Airflow's REST API that a run needs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

DAG = "daily"
END_STATES = ("success", "failed")
TIMEOUT = 180  # seconds: on a machine that is busy with Spark an answer can take a minute
PATIENCE = 120  # seconds that a server may fail, such as while its database is started again


class AirflowClient:
    """Calls the API server at `url` as its only user, whose password is in the file `passwords`.

    between_tries  is called before a request is tried again
    """

    def __init__(self, url: str, passwords: Path, between_tries: Callable[[], None] = lambda: None) -> None:
        self.http = httpx.Client(base_url=url, timeout=TIMEOUT, trust_env=False)
        self.passwords, self.between_tries = passwords, between_tries

    def is_up(self) -> bool:
        """Say whether the API server answers, and log in if it does."""
        try:
            is_up = self.http.get("/api/v2/version").status_code == 200
        except httpx.TransportError:
            return False
        if is_up and "Authorization" not in self.http.headers:
            user, password = next(iter(json.loads(self.passwords.read_text()).items()))
            login = self.http.post("/auth/token", json={"username": user, "password": password})
            login.raise_for_status()
            self.http.headers["Authorization"] = f"Bearer {login.json()['access_token']}"
        return bool(is_up)

    def warm_up(self) -> None:
        """Make the server build the API that tasks use. It does so at the first request, which takes seconds."""
        self.http.get("/execution/health")

    def has_parsed_dag_since(self, moment: datetime) -> bool:
        """Say whether Airflow read the DAG file after `moment`, so that a run uses its current text."""
        response = self.http.get(f"/api/v2/dags/{DAG}")
        if response.status_code == 404:
            return False
        response.raise_for_status()
        return datetime.fromisoformat(response.json()["last_parsed_time"]) > moment

    def import_errors(self) -> list[str]:
        response = self.http.get("/api/v2/importErrors")
        response.raise_for_status()
        return [error["stack_trace"] for error in response.json()["import_errors"]]

    def set_paused(self, is_paused: bool) -> None:
        self._call("PATCH", "", is_paused=is_paused)

    def is_paused(self) -> bool:
        return bool(self._call("GET", "")["is_paused"])

    def unfinished_runs(self) -> list[str]:
        """The IDs of runs that an interrupted `make run` left behind."""
        states = "&".join(f"state={state}" for state in ("queued", "running"))
        return [run["dag_run_id"] for run in self._call("GET", f"/dagRuns?{states}")["dag_runs"]]

    def fail_run(self, run_id: str) -> None:
        self._call("PATCH", f"/dagRuns/{run_id}", state="failed")

    def trigger_run(self, run_id: str, conf: dict[str, Any]) -> None:
        response = self.http.post(
            f"/api/v2/dags/{DAG}/dagRuns", json={"dag_run_id": run_id, "logical_date": None, "conf": conf}
        )
        response.raise_for_status()

    def run_state(self, run_id: str) -> str:
        return str(self._call("GET", f"/dagRuns/{run_id}")["state"])

    def task_instances(self, run_id: str) -> list[dict[str, Any]]:
        return list(self._call("GET", f"/dagRuns/{run_id}/taskInstances")["task_instances"])

    def _call(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                response = self.http.request(method, f"/api/v2/dags/{DAG}{path}", json=body or None)
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
            else:
                if response.status_code < 500 or time.monotonic() > deadline:
                    response.raise_for_status()
                    return dict(response.json())
            self.between_tries()
            time.sleep(1)
