"""Run the daily DAG on services, as on a cluster: `make cluster`.

PostgreSQL, an S3 store, MLflow's server, Spark's master with two workers and a Connect server, and Airflow run as
processes of this machine. The logs are in s3://landing and the tables in s3://lake. FROM, TO, PROFILE and DATA are
those of `make run`. What the services store stays in `.state/s3-lake-...`, and the next call goes on with it. A service
that ends is started again, and the run goes on.
"""

from __future__ import annotations

import hashlib
import os
import sys

import httpx
from lake_state import REPOSITORY, LakeState, landing_address
from object_store import start_object_store
from postgres import start_postgres
from rich.console import Console
from run import run, run_command, simulate_logs
from run_job import UserError, run_job
from services import Services, free_port
from spark_cluster import start_spark_cluster

LAKE, LANDING = "s3://lake", "s3://landing"
ON_SPARK = {  # however small the days are
    "SPARK_FROM_ROWS": "1", "SIDEREAL_LANDING__LOCAL_MIB": "0", "SIDEREAL_RANKER__SPARK_PARTS": "2",
}  # fmt: skip
RESTARTS = 5  # of each service
OTHER_STORE = ("SPARK_REMOTE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3")  # they would lead to services elsewhere


def start_services(services: Services, state: LakeState, console: Console) -> None:
    """Start everything but Airflow, and say in the environment how to reach it."""
    for name in OTHER_STORE:
        os.environ.pop(name, None)
    console.print("Starting the S3 store, PostgreSQL, MLflow and a Spark cluster ...")
    os.environ.update(start_object_store(services, state.folder / "store", ("lake", "landing")))
    os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = start_postgres(services, state.folder / "postgres", "airflow")
    os.environ["MLFLOW_TRACKING_URI"] = start_mlflow(services, state)
    os.environ["SPARK_REMOTE"] = start_spark_cluster(services, state.folder / "spark")
    for name, value in ON_SPARK.items():
        os.environ.setdefault(name, value)


def start_mlflow(services: Services, state: LakeState) -> str:
    """Start MLflow's server. Return its address once it answers."""
    address = f"http://127.0.0.1:{free_port()}"
    command = [str(REPOSITORY / ".venv/jobs/bin/mlflow"), "server", "--host", "127.0.0.1", "--workers", "1"]
    command += ["--port", address.rpartition(":")[2], "--backend-store-uri", f"sqlite:///{state.folder}/mlflow.db"]
    services.start("mlflow", command, {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"})
    services.wait_until_ready("MLflow", lambda: _answers(f"{address}/health"))
    return address


def _answers(address: str) -> bool:
    try:
        return bool(httpx.get(address, trust_env=False).status_code == 200)
    except httpx.TransportError:
        return False


def run_on_cluster(state: LakeState, services: Services, console: Console) -> None:
    """Start all services, land the logs in the store, and run the days."""
    data = os.environ.get("DATA")
    if data and "://" in data:
        raise UserError(f"DATA={data}: make cluster has an S3 store of its own; give it a folder of this machine")
    start_services(services, state, console)
    os.environ["PROFILE"] = os.environ.get("PROFILE") or ("small" if data else "demo")
    if not data:
        simulate_logs(state.landing, console)
    folder = landing_address(data or str(state.landing))
    # The logs of each folder have a place of their own.
    landing = f"{LANDING}/{hashlib.sha256(folder.encode()).hexdigest()[:8]}"
    console.print(f"Copying the logs to {landing} ...")
    run_job("landing.copy", "--data", folder, "--out", landing)
    os.environ["DATA"] = landing
    run(state, services, console)


if __name__ == "__main__":
    sys.exit(run_command("make cluster", LAKE, run_on_cluster, RESTARTS))
