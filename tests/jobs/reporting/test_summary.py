"""The summary of a run, one row for each day."""

import json
from datetime import timedelta

from jobs.lake import Lake
from jobs.lake.metrics import metric_rows, replace_metrics
from jobs.reporting.summary import summarize
from tests.jobs.lake_rows import DAY, put, put_metrics, release_row, run_row


def test_row_counts_are_those_of_the_last_ingest_of_the_day(lake: Lake) -> None:
    last = run_row("ingest", DAY, 9, rows_in=7, rows_conflicting=2)
    put(lake, "ops.runs", [last, run_row("ingest", DAY, 5, rows_in=100)])
    (row,) = summarize(lake, [DAY])
    assert (row["rows_in"], row["rows_conflicting"]) == (7, 2)


def test_a_day_that_never_ran_is_a_row_without_numbers(lake: Lake) -> None:
    (row,) = summarize(lake, [DAY])
    assert row["rows_in"] is None
    assert row["champion"] is None
    assert row["promoted"] is False
    assert row["seconds"] == {}


def test_a_model_that_was_not_evaluated_is_null(lake: Lake) -> None:
    put_metrics(lake, DAY, champion=False)
    (row,) = summarize(lake, [DAY])
    assert row["champion"] is None
    assert set(row["challenger"]) == {"auc", "uauc", "gauc"}


def test_a_kept_champion_is_not_promoted_and_says_why(lake: Lake) -> None:
    put(lake, "gold.releases", [release_row(1, DAY - timedelta(1)), release_row(2, DAY, "keep", "AUC fell")])
    rows = summarize(lake, [DAY - timedelta(1), DAY])
    assert [row["promoted"] for row in rows] == [True, False]
    assert rows[1]["reason"] == "AUC fell"


def test_a_day_says_whether_its_generator_is_live(lake: Lake) -> None:
    before = DAY - timedelta(1)
    replace_metrics(lake, "generate", before, metric_rows("generator", "all", {"live": 0.0}))
    replace_metrics(lake, "generate", DAY, metric_rows("generator", "all", {"live": 1.0}))
    rows = summarize(lake, [before - timedelta(1), before, DAY])
    assert [row["generator_live"] for row in rows] == [None, False, True]


def test_a_day_that_was_rolled_back_names_the_live_release(lake: Lake) -> None:
    before = DAY - timedelta(1)
    put(lake, "gold.releases", [release_row(1, before), release_row(2, DAY), release_row(3, DAY, "rollback")])
    assert [row["rolled_back_by"] for row in summarize(lake, [before, DAY])] == [None, 3]


def test_a_day_without_a_release_says_why(lake: Lake) -> None:
    assert summarize(lake, [DAY])[0]["reason"] is None
    replace_metrics(lake, "promote", DAY, metric_rows("challenger", "refused", {"only 85 rows": 1.0}))
    assert summarize(lake, [DAY])[0]["reason"] == "no release: only 85 rows"


def test_each_task_has_its_seconds_and_start_up_seconds(lake: Lake) -> None:
    put(lake, "ops.runs", [run_row("pairs", DAY, 1), run_row("ingest", DAY, 0)])
    (row,) = summarize(lake, [DAY])
    assert row["seconds"] == {"ingest": 12.3, "pairs": 12.3}
    assert row["startup"] == {"ingest": 3.2, "pairs": 3.2}


def test_an_undefined_metric_is_null_in_the_json(lake: Lake) -> None:
    replace_metrics(lake, "evaluate", DAY, metric_rows("din", "as_served", {"auc": float("nan"), "gauc": 0.5}))
    (row,) = json.loads(json.dumps(summarize(lake, [DAY]), allow_nan=False))
    assert row["din"] == {"auc": None, "uauc": None, "gauc": 0.5}
