"""What a run came to, in one row per day."""

import json
from datetime import timedelta

from jobs.lake import Lake
from jobs.lake.metrics import metric_rows, replace_metrics
from jobs.reporting.summary import summary
from tests.jobs.lake_rows import DAY, put, put_metrics, release_row, run_row


def test_rows_of_a_day_are_those_of_the_newest_ingest(lake: Lake) -> None:
    put(lake, "ops.runs", [run_row("ingest", DAY, 9, rows_in=7), run_row("ingest", DAY, 5, rows_in=100)])
    assert summary(lake, [DAY])[0]["rows_in"] == 7


def test_a_day_that_never_ran_is_a_row_without_numbers(lake: Lake) -> None:
    (row,) = summary(lake, [DAY])
    assert row["rows_in"] is None
    assert row["champion"] is None
    assert row["promoted"] is False
    assert row["seconds"] == {}


def test_a_model_that_was_not_judged_is_null(lake: Lake) -> None:
    put_metrics(lake, DAY, champion=False)
    (row,) = summary(lake, [DAY])
    assert row["champion"] is None
    assert set(row["challenger"]) == {"auc", "uauc", "gauc"}


def test_a_kept_champion_is_not_promoted_and_says_why(lake: Lake) -> None:
    put(lake, "gold.releases", [release_row(1, DAY - timedelta(1)), release_row(2, DAY, "keep", "AUC fell")])
    rows = summary(lake, [DAY - timedelta(1), DAY])
    assert [row["promoted"] for row in rows] == [True, False]
    assert rows[1]["reason"] == "AUC fell"


def test_a_day_without_a_release_says_why(lake: Lake) -> None:
    assert summary(lake, [DAY])[0]["reason"] is None
    replace_metrics(lake, "promote", DAY, metric_rows("challenger", "refused", {"only 85 rows": 1.0}))
    assert summary(lake, [DAY])[0]["reason"] == "no release: only 85 rows"


def test_start_up_stands_beside_the_seconds_of_each_task(lake: Lake) -> None:
    put(lake, "ops.runs", [run_row("pairs", DAY, 1), run_row("ingest", DAY, 0)])
    (row,) = summary(lake, [DAY])
    assert row["seconds"] == {"ingest": 12.3, "pairs": 12.3}
    assert row["startup"] == {"ingest": 3.2, "pairs": 3.2}


def test_an_undefined_metric_is_null_in_the_json(lake: Lake) -> None:
    replace_metrics(lake, "evaluate", DAY, metric_rows("din", "all", {"auc": float("nan"), "gauc": 0.5}))
    (row,) = json.loads(json.dumps(summary(lake, [DAY]), allow_nan=False))
    assert row["din"] == {"auc": None, "uauc": None, "gauc": 0.5}
