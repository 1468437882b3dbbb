"""Start Airflow on the state of one lake."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_api import AirflowClient
from airflow_env import AIRFLOW, airflow_environment, prepare_database, server_address
from lake_state import LakeState
from services import ServiceError, Services


def start_airflow(
    services: Services, state: LakeState, host: str, port: int, extra_env: dict[str, str]
) -> AirflowClient:
    """Start API server, DAG processor, scheduler and triggerer. Return when they answer and have read the DAG.

    raises  ServiceError if one of them does not start, or if the DAG cannot be imported
    """
    env = {**airflow_environment(state.airflow_home, host, port), **extra_env, "LAKE": state.lake}
    prepare_database(env)
    started_at = datetime.now(UTC)
    client = AirflowClient(server_address(host, port), state.airflow_home / "passwords.json", services.check)
    services.start("api-server", [str(AIRFLOW), "api-server"], env)
    services.start("dag-processor", [str(AIRFLOW), "dag-processor"], env)
    services.start("scheduler", [str(AIRFLOW), "scheduler", "--skip-serve-logs"], env)
    services.start("triggerer", [str(AIRFLOW), "triggerer", "--skip-serve-logs"], env)
    services.wait_until_ready("Airflow's API server", client.is_up)
    client.warm_up()
    services.wait_until_ready("Airflow's DAG processor", lambda: _has_read_dag(client, started_at))
    return client


def _has_read_dag(client: AirflowClient, started_at: datetime) -> bool:
    if errors := client.import_errors():
        raise ServiceError(f"dags/daily.py cannot be imported:\n{errors[0]}")
    return client.has_parsed_dag_since(started_at)
