"""Check tables with Great Expectations inside a Spark job. The results are pages (Data Docs) beside the tables."""

import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from datetime import date
from html import escape
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

import great_expectations as gx
import pandas as pd
from great_expectations.checkpoint.checkpoint import CheckpointResult
from great_expectations.core.expectation_validation_result import ExpectationValidationResult
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.data_context.types.resource_identifiers import ExpectationSuiteIdentifier
from great_expectations.expectations import UnexpectedRowsExpectation

from jobs.lake import Lake, UserError
from jobs.lake.lake import SPARK_FROM_ROWS
from jobs.lake.metrics import metric_rows
from jobs.lake.store import is_remote
from jobs.runtime.locks import lock_file
from jobs.runtime.printable import printable_page

logging.getLogger("great_expectations").setLevel(logging.ERROR)
LOCK_LIMIT = 1800.0  # seconds; one check takes some seconds


def check(lake: Lake, table: str, suite: ModuleType, days: list[date] | None = None) -> list[dict[str, Any]]:
    """Check a table, or some of its days, against `expectations/<layer>_<table>.py`.

    returns  rows of gold.metrics: 1 for an expectation that holds, 0 for one that does not
    raises   UserError that names the critical expectations that do not hold
    """
    if days is not None and not days:
        return []
    rows = f"FROM {table}" + (" WHERE day IN :days" if days else "")
    has_few_rows = lake.query(f"SELECT count(*) AS n {rows}", days=days or [])["n"][0].as_py() < SPARK_FROM_ROWS
    if has_few_rows and not any(isinstance(e, UnexpectedRowsExpectation) for e in suite.CRITICAL + suite.WARNING):
        frame = lake.query(f"SELECT * {rows}", days=days or []).to_pandas(types_mapper=pd.ArrowDtype)
    else:
        frame = lake.sql(f"SELECT * {rows}", days=days or [])
    with _lock_project(docs_folder(lake).parent):
        context = _make_context(lake)
        results = _validate(context, table, suite, frame, examples=0)
        if not all(result.success for result in results):
            results = _validate(context, table, suite, frame, examples=20)  # each costs a query, also if none is wrong
    broken = [result for result in results if not result.success]
    for result in broken:
        if _severity(result) == "warning":
            print(f"warning: {table}: {_title(result)} does not hold", file=sys.stderr)
    if critical := [_title(result) for result in broken if _severity(result) == "critical"]:
        page = f"{docs_folder(lake)}/index.html"
        raise UserError(f"{table} breaks {'; '.join(critical)}; nothing was published, see {page}")
    return metric_rows("checks", table, {_title(result): bool(result.success) for result in results})


def docs_folder(lake: Lake) -> Path:
    """The folder of the Data Docs pages: in the lake, or a temporary one if the lake is remote."""
    root = Path(tempfile.gettempdir()) / "sidereal" if is_remote(lake.root) else Path(lake.root)
    return root / "data_docs"


@contextmanager
def _lock_project(root: Path) -> Iterator[None]:
    """Use the files of Great Expectations, `root`/gx, for one check at a time.

    A check that is killed or fails may leave half a file behind. The next check then deletes the folder and starts
    with a new one.
    """
    with lock_file(root / "locks" / "gx", f"check of the tables in {root}", LOCK_LIMIT) as was_left_behind:
        if was_left_behind and (root / "gx").exists():
            shutil.rmtree(root / "gx")
        yield


def _make_context(lake: Lake) -> Any:
    """A Great Expectations project whose pages go to `docs_folder`."""
    context = gx.get_context(mode="file", project_root_dir=docs_folder(lake).parent)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs_folder(lake))}
    site = {"class_name": "SiteBuilder", "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"}}
    config: Any = site | {"store_backend": store}
    context.update_data_docs_site(site_name="local_site", site_config=config)
    return context


def _validate(
    context: Any, table: str, suite: ModuleType, frame: Any, examples: int
) -> list[ExpectationValidationResult]:
    """Check the frame and write the page of results, with some `examples` of wrong values for each expectation."""
    sources = context.data_sources
    source = (
        sources.add_or_update_pandas("rows")
        if isinstance(frame, pd.DataFrame)
        # A frame cached over a staged table breaks the next MERGE: Delta refreshes it after the folder is gone.
        else sources.add_or_update_spark("lake", persist=False)
    )
    asset = source.add_dataframe_asset(table)
    rows = asset.add_batch_definition_whole_dataframe("rows")
    warnings = [copy(expectation) for expectation in suite.WARNING]  # Great Expectations changes them
    for expectation in warnings:
        expectation.severity = "warning"
    expected = gx.ExpectationSuite(name=table, expectations=[*map(copy, suite.CRITICAL), *warnings])
    definition = gx.ValidationDefinition(name=table, data=rows, suite=context.suites.add_or_update(expected))
    validation = context.validation_definitions.add_or_update(definition)
    checkpoint = gx.Checkpoint(
        name=table,
        validation_definitions=[validation],
        actions=[],
        result_format={"result_format": "BASIC", "partial_unexpected_count": examples},
    )
    run = context.checkpoints.add_or_update(checkpoint).run(batch_parameters={"dataframe": frame})
    _write_page(context, table, run)
    return [result for validated in run.run_results.values() for result in validated.results]


def _write_page(context: Any, table: str, run: CheckpointResult) -> None:
    """Write the page of a run, and only this page, as there are more every day.

    Great Expectations puts wrong values into the page as they are: markup in a log would run in the reader's browser.
    """
    for identifier, validated in run.run_results.items():
        for result in validated.results:
            result.result = _escape_texts(result.result)
        context.validation_results_store.set(identifier, validated)
        pages = [identifier, ExpectationSuiteIdentifier(name=table)]
        context.build_data_docs(site_names=["local_site"], resource_identifiers=pages)


def _escape_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _escape_texts(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_escape_texts(part) for part in value]
    return escape(printable_page(value)) if isinstance(value, str) else value


def _severity(result: ExpectationValidationResult) -> str:
    config = result.expectation_config
    assert config is not None
    return str(getattr(config.severity, "value", config.severity))


def _title(result: ExpectationValidationResult) -> str:
    """The description of an expectation, else its name, such as `column_values_to_not_be_null(ts)`."""
    config = result.expectation_config
    assert config is not None
    return config.description or f"{config.type.removeprefix('expect_')}({config.kwargs.get('column') or ''})"
