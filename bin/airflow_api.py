"""The few calls of Airflow's REST API that a run needs."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

DAG = "daily"
ENDED = ("success", "failed")
PATIENCE = 180  # seconds: on a machine that is busy with Spark an answer can take a minute


class Airflow:
    """A logged-in client of the API server at `url`; one user, whose password lies in `passwords`."""

    def __init__(self, url: str, passwords: Path) -> None:
        self.http = httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False)
        self.passwords = passwords

    def answers(self) -> bool:
        """Whether the API server is up; logs in when it is."""
        try:
            up = self.http.get("/api/v2/version").status_code == 200
        except httpx.TransportError:
            return False
        if up and "Authorization" not in self.http.headers:
            user, password = next(iter(json.loads(self.passwords.read_text()).items()))
            login = self.http.post("/auth/token", json={"username": user, "password": password})
            login.raise_for_status()
            self.http.headers["Authorization"] = f"Bearer {login.json()['access_token']}"
        return bool(up)

    def warm_up(self) -> None:
        """Let the server build what tasks talk to, which it does at the first request and takes seconds."""
        self.http.get("/execution/health")

    def call(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        answer = self.http.request(method, f"/api/v2/dags/{DAG}{path}", json=body or None)
        answer.raise_for_status()
        return dict(answer.json())

    def parsed_since(self, moment: datetime) -> bool:
        """Whether the DAG file was read after `moment`, so that a run takes the file as it is now."""
        answer = self.http.get(f"/api/v2/dags/{DAG}")
        if answer.status_code == 404:
            return False
        answer.raise_for_status()
        return datetime.fromisoformat(answer.json()["last_parsed_time"]) > moment

    def import_errors(self) -> list[str]:
        answer = self.http.get("/api/v2/importErrors")
        answer.raise_for_status()
        return [error["stack_trace"] for error in answer.json()["import_errors"]]

    def pause(self, paused: bool) -> None:
        self.call("PATCH", "", is_paused=paused)

    def paused(self) -> bool:
        return bool(self.call("GET", "")["is_paused"])

    def unfinished(self) -> list[str]:
        """Runs that an earlier, interrupted process left behind."""
        states = "&".join(f"state={state}" for state in ("queued", "running"))
        return [run["dag_run_id"] for run in self.call("GET", f"/dagRuns?{states}")["dag_runs"]]

    def fail(self, run_id: str) -> None:
        self.call("PATCH", f"/dagRuns/{run_id}", state="failed")

    def trigger(self, run_id: str, conf: dict[str, Any]) -> None:
        answer = self.http.post(
            f"/api/v2/dags/{DAG}/dagRuns", json={"dag_run_id": run_id, "logical_date": None, "conf": conf}
        )
        answer.raise_for_status()

    def state(self, run_id: str) -> str:
        return str(self.call("GET", f"/dagRuns/{run_id}")["state"])

    def tasks(self, run_id: str) -> list[dict[str, Any]]:
        return list(self.call("GET", f"/dagRuns/{run_id}/taskInstances")["task_instances"])
