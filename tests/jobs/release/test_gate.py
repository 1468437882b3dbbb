"""The gate also checks the semantic IDs, and which model the challenger was compared with."""

from datetime import timedelta

import pyarrow as pa
import pytest

from jobs.lake import Lake
from jobs.lake.metrics import metric_rows, replace_metrics
from jobs.release.gate import decide
from jobs.release.model_store import ModelCard, save_model
from jobs.settings.tree import Settings
from models.ranker import Design, Ranker
from tests.jobs.lake_rows import DAY, put, put_metrics, release_row

HEALTHY = {"collision_rate": 0.01, "bucket_share": 0.001, "hr_at_10": 0.99}


@pytest.mark.parametrize(
    ("metric", "value", "setting"),
    [
        ("collision_rate", 0.95, "gate.max_collision_rate"),
        ("bucket_share", 0.6, "gate.max_bucket_share"),
        ("hr_at_10", 0.05, "gate.min_hr_at_10"),
    ],
)
def test_a_challenger_with_ids_beyond_a_threshold_does_not_go_live(
    lake: Lake, settings: Settings, metric: str, value: float, setting: str
) -> None:
    put_metrics(lake, DAY, champion=False)
    replace_metrics(lake, "quantize", DAY, metric_rows("codebook", "all", HEALTHY, version="cb1"))
    assert decide(lake, settings, DAY).kind == "promote"
    replace_metrics(lake, "quantize", DAY, metric_rows("codebook", "all", HEALTHY | {metric: value}, version="cb1"))
    decision = decide(lake, settings, DAY)
    assert decision.kind == "none"
    assert setting in decision.reason
    other_codebook = metric_rows("codebook", "all", HEALTHY | {metric: value}, version="cb2")
    replace_metrics(lake, "quantize", DAY, other_codebook)
    assert "another codebook than the challenger's (cb1)" in decide(lake, settings, DAY).reason


def test_a_first_model_no_better_than_chance_is_not_published(lake: Lake, settings: Settings) -> None:
    put_metrics(lake, DAY, champion=False)
    for low, kind in ((0.4999, "none"), (0.51, "promote")):
        intervals = {"auc": (low, 0.6)}
        rows = metric_rows("challenger", "all", {"auc": 0.55}, intervals=intervals, rows=500, version="challenger-1")
        replace_metrics(lake, "evaluate", DAY, rows)
        decision = decide(lake, settings, DAY)
        assert decision.kind == kind
    replace_metrics(lake, "evaluate", DAY, metric_rows("challenger", "all", {"auc": 0.4}, rows=500,
                                                     version="challenger-1"))  # fmt: skip
    assert "no better than chance" in decide(lake, settings, DAY).reason


def test_a_champion_that_evaluate_did_not_compare_stays_until_evaluate_runs_again(
    lake: Lake, settings: Settings
) -> None:
    ranker = Ranker(design=Design("latest"), n_items=1, tasks=("click",))
    card = ModelCard.from_settings(settings, "champion-1", "e1", "cb1", str(DAY))
    uri = save_model(lake, "challenger", ranker, card, pa.array(["i"]))
    release = release_row(1, DAY - timedelta(days=1)) | {"model_version": "champion-1", "model_uri": uri}
    put(lake, "gold.releases", [release])
    put_metrics(lake, DAY)
    assert decide(lake, settings, DAY).kind == "promote"
    put(lake, "gold.releases", [release, release | {"release": 2, "model_version": "another"}])
    decision = decide(lake, settings, DAY)
    assert decision.kind == "keep"
    assert "not compared with the live model, another: run evaluate of this day again" in decision.reason
    put_metrics(lake, DAY, champion=False)  # evaluate ran when no model was live
    assert decide(lake, settings, DAY) == decision


def test_a_champion_whose_files_are_missing_counts_as_no_champion(lake: Lake, settings: Settings) -> None:
    put(lake, "gold.releases", [release_row(1, DAY - timedelta(days=1))])
    put_metrics(lake, DAY, champion=False)
    decision = decide(lake, settings, DAY)
    assert decision.kind == "promote"
    assert "the first model after a champion that cannot be read (model models/m1 is not in" in decision.reason


def test_a_difference_without_an_interval_is_described_without_it(lake: Lake, settings: Settings) -> None:
    put(lake, "gold.releases", [release_row(1, DAY - timedelta(days=1)) | {"model_version": "champion-1"}])
    put_metrics(lake, DAY)
    rows = metric_rows("challenger", "all", {"auc": 0.7}, rows=500, version="challenger-1")
    rows += metric_rows("champion", "all", {"auc": 0.6}, rows=500, version="champion-1")
    rows += metric_rows("challenger_minus_champion", "all", {"auc": 0.1}, rows=500)
    replace_metrics(lake, "evaluate", DAY, rows)
    expected = "AUC 0.7000 against the champion's 0.6000 (difference +0.1000)"
    assert decide(lake, settings, DAY).reason == expected


@pytest.mark.parametrize(
    ("metric", "message"), [("auc", "the day has no rows"), ("gauc", "no user of the day has rows")]
)
def test_a_day_whose_metric_is_undefined_changes_no_model(
    lake: Lake, settings: Settings, metric: str, message: str
) -> None:
    put_metrics(lake, DAY, champion=False)
    rows = metric_rows("challenger", "all", {metric: float("nan")}, rows=500, version="challenger-1")
    replace_metrics(lake, "evaluate", DAY, rows)
    changed = settings.model_copy(update={"gate": settings.gate.model_copy(update={"metric": metric})})
    decision = decide(lake, changed, DAY)
    assert (decision.kind, decision.reason) == ("none", f"{message} of both classes, so models cannot be compared")
