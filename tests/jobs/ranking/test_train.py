"""Where a day's training begins, and what it does with labels that nobody gave."""

from datetime import timedelta
from typing import get_args

import pytest
import torch

from jobs.lake import Lake, UserError
from jobs.ranking.build import build
from jobs.release.model_store import ModelCard, save_model
from jobs.settings.tree import Settings
from jobs.train import stayed, warmed
from models.ranker import Design, Epoch
from models.ranker.design import Heads
from tests.jobs.lake_rows import DAY, put, release_row
from tests.jobs.ranking.made_dataset import catalogue, dataset, ranker

BEFORE = DAY - timedelta(days=1)
TASKS = ("click", "purchase")
ITEMS = catalogue(torch.eye(4))
BOUGHT = Design("latest", k=2, heads="entire_space")


@pytest.mark.parametrize("heads", get_args(Heads))
def test_a_champion_that_knows_other_tasks_is_not_gone_on_from(lake: Lake, settings: Settings, heads: Heads) -> None:
    design = Design("latest", k=2, heads=heads)
    card = ModelCard.of(settings, "m1", "e1", ITEMS.codebook_version, str(BEFORE))
    uri = save_model(lake, "challenger", ranker(ITEMS, design, TASKS), card, ITEMS.ids)
    put(lake, "gold.releases", [release_row(1, BEFORE) | {"model_uri": uri}])

    def goes_on(*tasks: str) -> bool:
        model = ranker(ITEMS, design, tasks)
        return warmed(lake, settings, DAY, "challenger", model, ITEMS, "e1") is not None

    assert goes_on("click", "purchase")
    assert not goes_on("click", "purchase", "like")
    assert not goes_on("purchase", "click")  # the same tasks, of which the heads would be each other's
    if heads != "entire_space":
        assert not goes_on("click")


def test_a_training_that_found_nothing_better_than_its_start_says_so() -> None:
    start, worse, better = (Epoch(at, 0.3, 0.5, 0.7, gauc) for at, gauc in ((0, 0.7), (1, 0.6), (2, 0.8)))
    assert stayed([start, worse])
    assert not stayed([start, worse, better])
    assert not stayed([worse])  # it began with nothing


def test_items_without_vectors_are_warned_of_where_they_are_compared(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = dataset(catalogue(torch.zeros(4, 4)), [[1, 2]], [(0, 0)])
    build(bare, settings, Design("latest", k=2))
    assert capsys.readouterr().err == ""
    build(bare, settings, Design("item_embedding", k=2))
    assert "100% of the items have no vector" in capsys.readouterr().err


def test_a_log_without_purchases_is_refused_where_a_purchase_follows_a_click(settings: Settings) -> None:
    bought = dataset(ITEMS, [[1, 2]], [(0, 0)], TASKS)
    assert build(bought, settings, BOUGHT).tasks == TASKS
    clicked = dataset(ITEMS, [[1, 2]], [(0, 0)], ("click",))
    with pytest.raises(UserError, match=r"needs both as tasks, not \['click'\]"):
        build(clicked, settings, BOUGHT)
