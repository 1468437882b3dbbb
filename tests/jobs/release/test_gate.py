"""The gate also checks the semantic IDs, and which model the challenger was compared with."""

from datetime import date, timedelta
from typing import Any

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
        rows = metric_rows(
            "challenger", "as_served", {"auc": 0.55}, intervals=intervals, rows=500, version="challenger-1"
        )
        replace_metrics(lake, "evaluate", DAY, rows)
        decision = decide(lake, settings, DAY)
        assert decision.kind == kind
    replace_metrics(lake, "evaluate", DAY, metric_rows("challenger", "as_served", {"auc": 0.4}, rows=500,
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


def put_comparison(
    lake: Lake, day: date, interval: tuple[float, float] | None, *, slice_: str = "as_served", **changes: Any
) -> None:
    """What `evaluate` measured of a challenger and of the champion `champion-1`.

    interval  of the difference of AUC
    changes   champion: another version of it. calibration: its interval. champions_calibration. log_loss: interval of
              the difference. rows: of the difference
    """
    calibration = changes.get("calibration", (0.98, 1.02))
    of_champion = {"auc": 0.6, "calibration": changes.get("champions_calibration", 1.0), "log_loss": 0.4}
    of_challenger = {"auc": 0.7, "calibration": sum(calibration) / 2, "log_loss": 0.4}
    intervals = {"calibration": calibration}
    rows = metric_rows("challenger", slice_, of_challenger, intervals=intervals, rows=500, version="challenger-1")
    rows += metric_rows("champion", slice_, of_champion, rows=500, version=changes.get("champion", "champion-1"))
    loss = changes.get("log_loss", (-0.01, 0.01))
    intervals = {"log_loss": loss} | ({"auc": interval} if interval else {})
    values = {"auc": sum(interval or (0.2, 0.0)) / 2, "log_loss": sum(loss) / 2}
    measured = changes.get("rows", 500)
    rows += metric_rows("challenger_minus_champion", slice_, values, intervals=intervals, rows=measured)
    replace_metrics(lake, "evaluate", day, rows)


@pytest.fixture
def compared(lake: Lake) -> Lake:
    """A lake with a live model, `champion-1`, and a challenger of the day that could go live."""
    put(lake, "gold.releases", [release_row(1, DAY - timedelta(days=9)) | {"model_version": "champion-1"}])
    put_metrics(lake, DAY)
    return lake


@pytest.mark.parametrize(
    ("interval", "kind"),
    [
        ((-0.0049, 0.003), "promote"),  # surely not worse by more than half a point
        ((0.001, 0.02), "promote"),
        ((-0.0049, -0.0047), "promote"),  # a little worse for sure
        ((-0.0051, 0.02), "keep"),  # seems better, but may be worse
        ((-0.02, -0.01), "keep"),
    ],
)
def test_a_challenger_goes_live_if_it_is_surely_not_worse_by_more_than_the_margin(
    compared: Lake, settings: Settings, interval: tuple[float, float], kind: str
) -> None:
    put_comparison(compared, DAY, interval)
    decision = decide(compared, settings, DAY)
    assert decision.kind == kind
    low, high = interval
    difference = f"(difference {(low + high) / 2:+.4f}, 95 % interval {low:+.4f} to {high:+.4f})"
    assert decision.reason.endswith(f"AUC 0.7000 against the champion's 0.6000 {difference}")
    assert decision.reason.startswith("it may be worse by more than gate.max_drop, 0.005: ") == (kind == "keep")


def test_the_days_since_the_champion_went_live_count_together(compared: Lake, settings: Settings) -> None:
    put_comparison(compared, DAY, (-0.006, 0.010))
    assert decide(compared, settings, DAY).kind == "keep"
    put_comparison(compared, DAY - timedelta(days=1), (0.5, 0.6), champion="an earlier one")
    put_comparison(compared, DAY - timedelta(days=31), (0.5, 0.6))
    put_comparison(compared, DAY - timedelta(days=3), (0.5, 0.6), rows=99)  # fewer than gate.min_test_rows
    assert decide(compared, settings, DAY).kind == "keep"
    put_comparison(compared, DAY - timedelta(days=2), (-0.004, 0.012))
    decision = decide(compared, settings, DAY)
    assert decision.kind == "promote"  # the mean, and the error of one day by the square root of two
    assert "(difference +0.0020; over 2 days +0.0030, 95 % interval -0.0027 to +0.0087)" in decision.reason
    put_comparison(compared, DAY + timedelta(days=1), (-0.9, -0.8))  # a later day changes nothing
    assert decide(compared, settings, DAY) == decision


def test_good_days_before_do_not_speak_for_a_challenger_that_is_worse_today(compared: Lake, settings: Settings) -> None:
    for days in range(1, 6):
        put_comparison(compared, DAY - timedelta(days=days), (0.010, 0.012))
    put_comparison(compared, DAY, (-0.012, -0.004))
    decision = decide(compared, settings, DAY)
    assert decision.kind == "keep"
    assert "(difference -0.0080; over 6 days +0.0078, 95 % interval " in decision.reason


@pytest.mark.parametrize("interval", [None, (0.1, 0.1)])  # a warm start that no epoch made better is the champion
def test_a_difference_without_an_interval_is_no_evidence(
    compared: Lake, settings: Settings, interval: tuple[float, float] | None
) -> None:
    put_comparison(compared, DAY - timedelta(days=1), (0.01, 0.02))
    put_comparison(compared, DAY, interval)
    decision = decide(compared, settings, DAY)
    assert decision.kind == "keep"
    assert decision.reason == (
        "AUC 0.7000 against the champion's 0.6000: the difference has no interval, so both may be the same model"
    )


def test_the_gate_looks_at_what_its_protocol_knows(compared: Lake, settings: Settings) -> None:
    put_comparison(compared, DAY, (0.01, 0.02), slice_="all")
    assert decide(compared, settings, DAY).reason == "nothing was trained for this day, so no model changes"
    gate = settings.gate.model_copy(update={"protocol": "up_to_the_moment"})
    assert decide(compared, settings.model_copy(update={"gate": gate}), DAY).kind == "promote"


@pytest.mark.parametrize(
    ("changes", "objection"),
    [
        ({"calibration": (1.04, 1.2)}, None),  # it may be nearer
        (
            {"calibration": (1.06, 1.1)},
            "the mean prediction is 1.080 times the mean label (95 % interval 1.060 to 1.100, ",
        ),
        ({"calibration": (0.9, 0.94)}, "the mean prediction is 0.920 times"),
        ({"calibration": (0.0, 0.0)}, "the mean prediction is 0.000 times"),
        ({"calibration": (1.18, 1.2), "champions_calibration": 1.2}, None),  # all models are off on such a day
        ({"calibration": (1.18, 1.2), "champions_calibration": 1 / 1.2}, None),
        ({"log_loss": (0.003, 0.1)}, None),
        ({"log_loss": (0.005, 0.01)}, "the log loss is higher than the champion's by 0.0075 (95 % interval +0.0050 "),
    ],
)
def test_a_challenger_with_bad_probabilities_does_not_go_live(
    compared: Lake, settings: Settings, changes: dict[str, Any], objection: str | None
) -> None:
    put_comparison(compared, DAY, (0.01, 0.02), **changes)
    decision = decide(compared, settings, DAY)
    assert decision.kind == ("keep" if objection else "promote")
    assert decision.reason.startswith(objection or "AUC 0.7000")


@pytest.mark.parametrize(
    ("metric", "message"), [("auc", "the day has no rows"), ("gauc", "no user of the day has rows")]
)
def test_a_day_whose_metric_is_undefined_changes_no_model(
    lake: Lake, settings: Settings, metric: str, message: str
) -> None:
    put_metrics(lake, DAY, champion=False)
    rows = metric_rows("challenger", "as_served", {metric: float("nan")}, rows=500, version="challenger-1")
    replace_metrics(lake, "evaluate", DAY, rows)
    changed = settings.model_copy(update={"gate": settings.gate.model_copy(update={"metric": metric})})
    decision = decide(lake, changed, DAY)
    assert (decision.kind, decision.reason) == ("none", f"{message} of both classes, so models cannot be compared")
