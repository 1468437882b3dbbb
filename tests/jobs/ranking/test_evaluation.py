"""What evaluate measures, on a day small enough to count by hand."""

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch

from jobs.ranking.evaluation import (
    METRICS,
    Floats,
    ScoredModel,
    build_slices,
    measure_difference,
    measure_model,
    score_test_rows,
    share_missed_by_id_search,
)
from jobs.settings.tree import Settings
from models.ranker import Design
from tests.jobs.ranking.made_dataset import build_dataset, build_items, build_ranker

VECTORS = torch.eye(4).repeat_interleave(2, dim=0)  # items 0 and 1 have the same vector, 2 and 3, ...


@pytest.mark.parametrize(
    ("histories", "missed"),
    [
        ([[1, 1, 2, 2]], 1.0),  # vectors find both events of item 1, IDs those of item 2
        ([[1, 2, 4]], 0.5),  # both find the latest event, item 4; vectors find item 1 and IDs item 2
        ([[4, 1, 1]], 0.0),  # no ID is similar to that of item 0, and the latest events are the same
        ([[1, 1, 2, 2], [1, 2, 4], [1, 3]], 0.75),  # three of four; the last history is as short as a search
        ([[1, 3]], np.nan),
    ],
)
def test_events_that_a_search_by_ids_misses_are_counted_in_histories_longer_than_a_search(
    settings: Settings, histories: list[list[int]], missed: float
) -> None:
    items = build_items(VECTORS)
    data = build_dataset(items, histories, [(user, 0) for user in range(len(histories))])
    challenger, din = build_ranker(items, Design("item_embedding", k=2)), build_ranker(items, Design("latest", k=2))
    din.known[:] = True
    with torch.no_grad():
        direction = torch.tensor([0, 1, 0, 2, 2, 3, 3, 3])  # items 0 and 2 have the same ID embedding
        din.ids.weight[:-1] = torch.eye(4)[direction]
    share = share_missed_by_id_search(data, settings, challenger, din)
    assert share == pytest.approx(missed, nan_ok=True)


def test_nothing_is_missed_if_the_challenger_itself_searches_by_ids(settings: Settings) -> None:
    items = build_items(VECTORS)
    data, din = build_dataset(items, [[1, 2, 4]], [(0, 0)]), build_ranker(items, Design("latest", k=2))
    assert np.isnan(share_missed_by_id_search(data, settings, build_ranker(items, Design("id_embedding", k=2)), din))


def test_slices_are_by_length_of_history_and_by_whether_the_item_was_trained_on(settings: Settings) -> None:
    items = build_items(VECTORS)
    lengths = [0, 0, 1, 9, 10, 99, 100, 101, 5000]
    labels = [[user % 2, np.nan if user < 6 else 1.0] for user in range(9)]
    test = [(user, user % 8) for user in range(9)]
    data = build_dataset(items, [[1] * n for n in lengths], test, ("click", "purchase"), labels)
    model = build_ranker(items, Design("latest"), data.tasks)
    model.known[:3] = True  # items 0 to 2: rows 0 to 2 and 8
    slices = build_slices(data, model)
    inside = {name: np.flatnonzero(part.is_inside).tolist() for name, part in slices.items() if part.is_inside.any()}
    assert {name: rows for name, rows in inside.items() if not name.startswith("popularity")} == {
        "all": [*range(9)], "as_served": [*range(9)],
        "purchase": [*range(9)], "cold_items": [3, 4, 5, 6, 7], "known_items": [0, 1, 2, 8],
        "history_0": [0, 1], "history_1_9": [2, 3], "history_10_99": [4, 5], "history_100_up": [6, 7, 8],
    }  # fmt: skip
    assert [name for name, part in slices.items() if part.task == 1] == ["purchase"]
    scores = np.stack([data.test.labels[:, 0], np.full(9, 0.5)], axis=1)
    wrong = np.stack([1 - data.test.labels[:, 0], np.full(9, 0.5)], axis=1)
    scored = ScoredModel(model, "v", {"up_to_the_moment": scores, "as_served": wrong})
    rows = measure_model("challenger", scored, data, slices, settings)
    measured = {(row["slice"], row["metric"]): row for row in rows}
    assert {key[1] for key in measured} == set(METRICS)
    assert measured["cold_items", "auc"]["rows"] == 5
    assert measured["cold_items", "auc"]["value"] == measured["history_0", "auc"]["value"] == 1
    assert (measured["all", "auc"]["value"], measured["as_served", "auc"]["value"]) == (1, 0)
    assert measured["purchase", "log_loss"]["value"] == pytest.approx(np.log(2))
    assert measured["purchase", "calibration"]["value"] == 0.5
    assert {key[0] for key, row in measured.items() if row["ci_low"] is not None} >= {"all", "purchase", "cold_items"}


def test_a_model_is_not_measured_on_tasks_that_it_was_not_trained_for(settings: Settings) -> None:
    items = build_items(VECTORS)
    data = build_dataset(items, [[1, 2, 4]], [(0, 0), (0, 3)], ("click", "purchase"))
    scores = score_test_rows(data, settings, build_ranker(items, Design("latest"), ("click",)))
    assert np.isfinite(scores[:, 0]).all()
    assert np.isnan(scores[:, 1]).all()
    swapped = score_test_rows(data, settings, model := build_ranker(items, Design("latest"), ("purchase", "click")))
    assert model.tasks == ("purchase", "click")
    assert np.isfinite(swapped).all()


def test_a_model_reads_the_rates_of_its_own_main_task(settings: Settings) -> None:
    items = build_items(VECTORS)
    data = build_dataset(items, [[1, 2, 4]], [(0, 0), (0, 1)], ("purchase", "click"))
    model = build_ranker(items, Design("latest", extras=("rates",)), ("click", "purchase"))
    click_first = score_test_rows(replace(data, tasks=("click", "purchase")), settings, model)
    np.testing.assert_array_equal(score_test_rows(data, settings, model)[:, ::-1], click_first)
    keys = data.test.user, data.test.target, data.test.until
    assert (data.load_rates("click").at(*keys) != data.load_rates("purchase").at(*keys)).any()


def test_a_difference_is_above_zero_where_the_challenger_ranks_better(settings: Settings) -> None:
    users, better = np.arange(40) % 8, np.linspace(0.1, 0.9, 40)
    labels = [[float(n > 19)] for n in range(40)]
    data = build_dataset(build_items(VECTORS), [[1]] * 8, [(user, 0) for user in users.tolist()], labels=labels)
    model = build_ranker(data.items, Design("latest"))

    def score(of_moment: Floats, as_served: Floats) -> ScoredModel:
        scores = {"up_to_the_moment": of_moment[:, None], "as_served": as_served[:, None]}
        return ScoredModel(model, "v", cast(Any, scores))

    for first, second, sign in ((better, better[::-1], 1), (better[::-1], better, -1), (better, better, 0)):
        challenger, champion = score(first, better), score(second, better)
        rows = measure_difference(challenger, champion, "champion", data.test, settings)
        served = [row for row in rows if row["slice"] == "as_served"]
        assert {row["value"] for row in served} == {0}
        loss = next(row["value"] for row in rows if (row["slice"], row["metric"]) == ("all", "log_loss"))
        assert np.sign(loss) == -sign
        rows = [row for row in rows if row["slice"] == "all" and row["metric"] != "log_loss"]
        assert {(r["model"], r["metric"], r["value"]) for r in rows} == {
            ("challenger_minus_champion", metric, sign) for metric in ("auc", "gauc")
        }
        assert all(r["ci_low"] == r["ci_high"] == sign and r["rows"] == 40 for r in rows)
