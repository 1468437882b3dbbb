"""MLflow: one run per day with its numbers, one registered model, and the alias `champion` on its live version."""

import os
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import pyarrow.dataset as ds

from jobs.lake import Lake
from jobs.lake.store import is_remote
from jobs.release.gate import Decision
from jobs.release.settings import SLICE_OF
from jobs.settings.tree import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

NAME = "sidereal-ranker"
ALIAS = "champion"


def register_release(lake: Lake, settings: Settings, day: date, decision: Decision) -> None:
    """Log the day's numbers, and put the alias on the model that goes live.

    MLFLOW_TRACKING_URI chooses the server; by default it is an SQLite file in the lake. The alias is set just before
    the release is written to gold.releases, which decides what is live. A rerun sets the alias again.
    """
    client = _connect(lake)
    experiment = client.get_experiment_by_name("daily")
    number = experiment.experiment_id if experiment else client.create_experiment("daily")
    run = client.create_run(number, run_name=str(day), tags={"day": str(day), "sidereal.run_id": lake.run_id})
    for section, values in settings.model_dump().items():
        for key, value in values.items() if isinstance(values, dict) else [("", values)]:
            client.log_param(run.info.run_id, f"{section}.{key}".rstrip("."), value)
    where = (ds.field("day") == day) & ds.field("slice").isin(list(SLICE_OF.values()))
    for row in lake.arrow("gold.metrics", where=where).to_pylist():
        if row["value"] is not None:
            part = "" if row["slice"] == "all" else f".{row['slice']}"
            client.log_metric(run.info.run_id, f"{row['model']}.{row['metric']}{part}", row["value"])
    client.set_terminated(run.info.run_id)
    set_champion_alias(lake, str(decision.uri), run.info.run_id)


def set_champion_alias(lake: Lake, uri: str, run_id: str | None = None) -> None:
    """Put the alias on a model of the lake. A model that is not registered yet is registered first."""
    client = _connect(lake)
    if not client.search_registered_models(f"name = '{NAME}'"):
        client.create_registered_model(NAME)
    source = f"{lake.root}/{uri}"
    registered = [v for v in client.search_model_versions(f"name = '{NAME}'") if v.source == source]
    version = registered[0] if registered else client.create_model_version(NAME, source, run_id)
    client.set_registered_model_alias(NAME, ALIAS, version.version)


def _connect(lake: Lake) -> "MlflowClient":
    from mlflow import MlflowClient  # slow to import, and most jobs do not need it

    return MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or _default_tracking_uri(lake))


def _default_tracking_uri(lake: Lake) -> str:
    folder = Path(".state") if is_remote(lake.root) else Path(lake.root)
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / 'mlflow.db'}"
