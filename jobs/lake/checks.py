"""Check tables with Great Expectations inside a Spark job. The results are pages (Data Docs) beside the tables."""

import logging
import os
import sys
from copy import copy
from datetime import date
from html import escape
from types import ModuleType
from typing import Any

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

import great_expectations as gx
import pandas as pd
from great_expectations.checkpoint.checkpoint import CheckpointResult
from great_expectations.core.expectation_validation_result import ExpectationValidationResult
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.data_context.types.resource_identifiers import ExpectationSuiteIdentifier

from jobs.lake import Lake, UserError, docs_pages
from jobs.lake.docs_store import ArrowStoreBackend
from jobs.lake.metrics import metric_rows
from jobs.lake.rows import MANY_ROWS
from jobs.runtime.printable import printable_page

logging.getLogger("great_expectations").setLevel(logging.ERROR)
DOCS, SITE = "data_docs", "local_site"
RESULTS_LISTED = 200  # newest ones on the first page: it reads each of them again for every check


def check(lake: Lake, table: str, suite: ModuleType, days: list[date] | None = None) -> list[dict[str, Any]]:
    """Check a table, or some of its days, against `expectations/<layer>_<table>.py`.

    returns  rows of gold.metrics: 1 for an expectation that holds, 0 for one that does not
    raises   UserError that names the critical expectations that do not hold
    """
    if days is not None and not days:
        return []
    rows = f"FROM {table}" + (" WHERE day IN :days" if days else "")
    if lake.query(f"SELECT count(*) AS n {rows}", days=days or [])["n"][0].as_py() < MANY_ROWS:
        frame = lake.query(f"SELECT * {rows}", days=days or []).to_pandas(types_mapper=pd.ArrowDtype)
    else:
        frame = lake.sql(f"SELECT * {rows}", days=days or [])
    context = _make_context(lake)
    run = _validate(context, table, suite, frame, examples=0)
    if not run.success:
        run = _validate(context, table, suite, frame, examples=20)  # each costs a query
    page = _write_page(context, table, run)
    results = [result for validated in run.run_results.values() for result in validated.results]
    broken = [result for result in results if not result.success]
    for result in broken:
        if _severity(result) == "warning":
            print(f"warning: {table}: {_title(result)} does not hold", file=sys.stderr)
    if critical := [_title(result) for result in broken if _severity(result) == "critical"]:
        raise UserError(f"{table} breaks {'; '.join(critical)}; nothing was published, see {page}")
    return metric_rows("checks", table, {_title(result): bool(result.success) for result in results})


def _make_context(lake: Lake) -> Any:
    """A Great Expectations project that keeps expectations, results and pages in the lake."""

    def place(folder: str, **options: str) -> dict[str, Any]:
        backend = {"module_name": ArrowStoreBackend.__module__, "class_name": ArrowStoreBackend.__name__}
        return {"store_backend": backend | {"address": f"{lake.root}/{folder}"} | options}

    defaults = InMemoryStoreBackendDefaults()
    results = {"class_name": "ValidationResultsStore"} | place("gx/uncommitted/validations", filepath_suffix=".json")
    suites = {"class_name": "ExpectationsStore"} | place("gx/expectations", filepath_suffix=".json")
    stores = {defaults.validation_results_store_name: results, defaults.expectations_store_name: suites}
    page, first_page = ({"module_name": docs_pages.__name__, "class_name": name} for name in ("Page", "FirstPage"))
    index = {"class_name": "DefaultSiteIndexBuilder", "validation_results_limit": RESULTS_LISTED, "view": first_page}
    sections = {"expectations": {"view": page}, "validations": {"view": page}, "profiling": "none"}
    site: dict[str, Any] = {"class_name": "SiteBuilder", "show_how_to_buttons": False}
    site |= {"site_section_builders": sections, "site_index_builder": index}
    config = DataContextConfig(
        store_backend_defaults=defaults,
        stores=defaults.stores | stores,
        data_docs_sites={SITE: site | place(DOCS)},
        progress_bars=ProgressBarsConfig(globally=False),
    )
    return gx.get_context(mode="ephemeral", project_config=config)


def _validate(context: Any, table: str, suite: ModuleType, frame: Any, examples: int) -> CheckpointResult:
    """Check the frame. The results hold some `examples` of wrong values for each expectation."""
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
    run: CheckpointResult = context.checkpoints.add_or_update(checkpoint).run(batch_parameters={"dataframe": frame})
    return run


def _write_page(context: Any, table: str, run: CheckpointResult) -> str:
    """Write the page of a run, and only this page, as there are more every day. Return its address.

    Great Expectations puts wrong values into the page as they are: markup in a log would run in the reader's browser.
    """
    ((identifier, validated),) = run.run_results.items()
    for result in validated.results:
        result.result = _escape_texts(result.result)
    context.validation_results_store.set(identifier, validated)
    pages = [identifier, ExpectationSuiteIdentifier(name=table)]
    context.build_data_docs(site_names=[SITE], resource_identifiers=pages)
    return str(context.get_docs_sites_urls(identifier, SITE)[0]["site_url"])


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
