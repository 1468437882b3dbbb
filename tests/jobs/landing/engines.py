"""The two ways of ingest: Spark for many rows, DuckDB in the job for few. Both must give the same tables."""

from typing import Literal

import pytest

from jobs.lake import checks, staged_table
from jobs.landing import silver
from jobs.settings.tree import Settings

Engine = Literal["Spark", "in the job"]
ENGINES: tuple[Engine, ...] = ("Spark", "in the job")
LIMITS = ((silver, "SPARK_FROM_ROWS"), (checks, "MANY_ROWS"), (staged_table, "MANY_ROWS"))


def use_engine(engine: Engine, settings: Settings, patch: pytest.MonkeyPatch) -> Settings:
    """The settings to run ingest with. With Spark, no number of rows is few."""
    if engine == "in the job":
        return settings
    for module, limit in LIMITS:
        patch.setattr(module, limit, 0)
    return settings.model_copy(update={"landing": settings.landing.model_copy(update={"local_mib": 0})})
