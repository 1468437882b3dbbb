"""What evaluate counts, on a day that one can count by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from jobs.evaluate import METRICS, Judged, _difference, _measure, _missed_by_ids, _scores, _slices
from jobs.settings.tree import Settings
from models.ranker import Design
from tests.jobs.ranking.made_dataset import catalogue, dataset, ranker

TURN = torch.eye(4).repeat_interleave(2, dim=0)  # items 0 and 1 are alike, 2 and 3, ...


@pytest.mark.parametrize(
    ("did", "missed"),
    [
        ([[1, 1, 2, 2]], 1.0),  # vectors find both events of item 1, IDs both of item 2
        ([[1, 2, 4]], 0.5),  # the one that is alike, and the latest of the others, 4
        ([[4, 1, 1]], 0.0),  # by IDs none is like item 0, and the latest are the very ones
        ([[1, 1, 2, 2], [1, 2, 4], [1, 3]], 0.75),  # three of four; the last history is no longer than a search
        ([[1, 3]], np.nan),
    ],
)
def test_what_a_search_by_ids_misses_is_counted_in_histories_longer_than_a_search(
    settings: Settings, did: list[list[int]], missed: float
) -> None:
    items = catalogue(TURN)
    data = dataset(items, did, [(user, 0) for user in range(len(did))])
    challenger, din = ranker(items, Design("item_embedding", k=2)), ranker(items, Design("latest", k=2))
    din.known[:] = True
    with torch.no_grad():
        alike = torch.tensor([0, 1, 0, 2, 2, 3, 3, 3])  # by IDs item 0 is like item 2
        din.ids.weight[:-1] = torch.eye(4)[alike]
    found = _missed_by_ids(data, settings, challenger, din)
    assert found == pytest.approx(missed, nan_ok=True)


def test_a_challenger_that_searches_by_ids_misses_nothing_that_could_be_told(settings: Settings) -> None:
    items = catalogue(TURN)
    data, din = dataset(items, [[1, 2, 4]], [(0, 0)]), ranker(items, Design("latest", k=2))
    assert np.isnan(_missed_by_ids(data, settings, ranker(items, Design("id_embedding", k=2)), din))


def test_rows_are_counted_by_length_of_history_and_by_whether_the_item_was_trained_on(settings: Settings) -> None:
    items = catalogue(TURN)
    lengths = [0, 0, 1, 9, 10, 99, 100, 101, 5000]
    data = dataset(items, [[1] * n for n in lengths], [(user, user % 8) for user in range(9)], ("click", "purchase"),
                   [[user % 2, np.nan if user < 6 else 1.0] for user in range(9)])  # fmt: skip
    model = ranker(items, Design("latest"), data.tasks)
    model.known[:3] = True  # items 0 to 2: rows 0 to 2 and 8
    slices = _slices(data, model)
    inside = {name: np.flatnonzero(part.inside).tolist() for name, part in slices.items() if part.inside.any()}
    assert {name: rows for name, rows in inside.items() if not name.startswith("popularity")} == {
        "all": [*range(9)], "purchase": [*range(9)], "cold_items": [3, 4, 5, 6, 7], "known_items": [0, 1, 2, 8],
        "history_0": [0, 1], "history_1_9": [2, 3], "history_10_99": [4, 5], "history_100_up": [6, 7, 8],
    }  # fmt: skip
    assert [name for name, part in slices.items() if part.task == 1] == ["purchase"]
    scores = np.stack([data.test.labels[:, 0], np.full(9, 0.5)], axis=1)
    rows = _measure("challenger", Judged(model, "v", scores), data.test, slices, settings)
    told = {(row["slice"], row["metric"]): row for row in rows}
    assert {key[1] for key in told} == set(METRICS)
    assert told["cold_items", "auc"]["rows"] == 5
    assert told["cold_items", "auc"]["value"] == told["history_0", "auc"]["value"] == 1
    assert told["purchase", "log_loss"]["value"] == pytest.approx(np.log(2))
    assert told["purchase", "calibration"]["value"] == 0.5
    assert {key[0] for key, row in told.items() if row["ci_low"] is not None} >= {"all", "purchase", "cold_items"}


def test_a_model_is_not_measured_by_labels_that_it_was_never_told(settings: Settings) -> None:
    items = catalogue(TURN)
    data = dataset(items, [[1, 2, 4]], [(0, 0), (0, 3)], ("click", "purchase"))
    scores = _scores(data, settings, ranker(items, Design("latest"), ("click",)))
    assert np.isfinite(scores[:, 0]).all()
    assert np.isnan(scores[:, 1]).all()
    turned = _scores(data, settings, model := ranker(items, Design("latest"), ("purchase", "click")))
    assert model.tasks == ("purchase", "click")
    assert np.isfinite(turned).all()


def test_a_model_is_told_the_rates_of_its_own_first_task(settings: Settings) -> None:
    items = catalogue(TURN)
    data = dataset(items, [[1, 2, 4]], [(0, 0), (0, 1)], ("purchase", "click"))
    model = ranker(items, Design("latest", extras=("rates",)), ("click", "purchase"))
    of_clicks = _scores(replace(data, tasks=("click", "purchase")), settings, model)
    np.testing.assert_array_equal(_scores(data, settings, model)[:, ::-1], of_clicks)
    row = data.test.user, data.test.target, data.test.until
    assert (data.rates("click").at(*row) != data.rates("purchase").at(*row)).any()


def test_a_difference_is_above_zero_where_the_challenger_ranks_better(settings: Settings) -> None:
    users, better = np.arange(40) % 8, np.linspace(0.1, 0.9, 40)
    labels = [[float(n > 19)] for n in range(40)]
    data = dataset(catalogue(TURN), [[1]] * 8, [(user, 0) for user in users.tolist()], labels=labels)
    for first, second, sign in ((better, better[::-1], 1), (better[::-1], better, -1), (better, better, 0)):
        rows = _difference(first, second, "champion", data.test, settings)
        assert {(r["model"], r["slice"], r["metric"], r["value"]) for r in rows} == {
            ("challenger_minus_champion", "all", metric, sign) for metric in ("auc", "gauc")
        }
        assert all(r["ci_low"] == r["ci_high"] == sign and r["rows"] == 40 for r in rows)
