"""Great Expectations inside a Spark job: one run per table, Data Docs beside the tables."""

import fcntl
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

import great_expectations as gx
from great_expectations.checkpoint import UpdateDataDocsAction
from great_expectations.core.expectation_validation_result import ExpectationValidationResult
from great_expectations.data_context.types.base import ProgressBarsConfig

from jobs.lake import Lake, UserError
from jobs.lake.metrics import metric_rows

logging.getLogger("great_expectations").setLevel(logging.ERROR)


def check(lake: Lake, table: str, suite: ModuleType, days: list[date] | None = None) -> list[dict[str, Any]]:
    """Check a table, or some of its days, against `expectations/<layer>_<table>.py`.

    returns  metric rows: 1 for an expectation that holds, 0 for one that does not
    raises   UserError naming the critical expectations that do not hold
    """
    if days is not None and not days:
        return []
    frame = lake.sql(f"SELECT * FROM {table}" + (" WHERE day IN :days" if days else ""), days=days or [])
    with _project(docs(lake).parent):
        result = _validate(_context(lake), table, suite, frame)
    told = {_title(one): bool(one.success) for one in result}
    failed = [_title(one) for one in result if not one.success and _kind(one) == "critical"]
    for one in result:
        if not one.success and _kind(one) == "warning":
            print(f"warning: {table}: {_title(one)} does not hold", file=sys.stderr)
    if failed:
        raise UserError(f"{table} breaks {'; '.join(failed)}; nothing was published, see {docs(lake)}/index.html")
    return metric_rows("checks", table, told)


def docs(lake: Lake) -> Path:
    """The folder of the Data Docs pages: in the lake, or a temporary one if the lake is remote."""
    root = Path(tempfile.gettempdir()) / "sidereal" if "://" in lake.root else Path(lake.root)
    return root / "data_docs"


@contextmanager
def _project(root: Path) -> Iterator[None]:
    """Great Expectations' files, `root`/gx, for one check at a time.

    A check that was killed or failed may leave half a file behind: then the folder is made anew.
    """
    (root / "locks").mkdir(parents=True, exist_ok=True)
    with open(root / "locks" / "gx", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if file.tell() and (root / "gx").exists():
            shutil.rmtree(root / "gx")
        print("a check began", file=file, flush=True)
        yield
        file.truncate(0)


def _context(lake: Lake) -> Any:
    context = gx.get_context(mode="file", project_root_dir=docs(lake).parent)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs(lake))}
    site = {"class_name": "SiteBuilder", "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"}}
    config: Any = site | {"store_backend": store}
    context.update_data_docs_site(site_name="local_site", site_config=config)
    return context


def _validate(context: Any, table: str, suite: ModuleType, frame: Any) -> list[ExpectationValidationResult]:
    asset = context.data_sources.add_or_update_spark("lake").add_dataframe_asset(table)
    rows = asset.add_batch_definition_whole_dataframe("rows")
    warnings = [copy(expectation) for expectation in suite.WARNING]  # a suite keeps those that it is given
    for expectation in warnings:
        expectation.severity = "warning"
    expected = gx.ExpectationSuite(name=table, expectations=[*map(copy, suite.CRITICAL), *warnings])
    definition = gx.ValidationDefinition(name=table, data=rows, suite=context.suites.add_or_update(expected))
    validation = context.validation_definitions.add_or_update(definition)
    page = UpdateDataDocsAction(name="page", site_names=["local_site"])  # this one alone: they grow day by day
    checkpoint = gx.Checkpoint(name=table, validation_definitions=[validation], actions=[page], result_format="BASIC")
    told = context.checkpoints.add_or_update(checkpoint).run(batch_parameters={"dataframe": frame})
    return [one for result in told.run_results.values() for one in result.results]


def _kind(one: ExpectationValidationResult) -> str:
    config = one.expectation_config
    assert config is not None
    return str(getattr(config.severity, "value", config.severity))


def _title(one: ExpectationValidationResult) -> str:
    """Such as `column_values_to_not_be_null(ts)`, or the words of an expectation that is a query."""
    config = one.expectation_config
    assert config is not None
    return config.description or f"{config.type.removeprefix('expect_')}({config.kwargs.get('column') or ''})"
