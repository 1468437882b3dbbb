"""Where a day's training begins, and what it does with labels that nobody gave."""

from datetime import timedelta

import pytest
import torch
from lake_rows import DAY, put, release_row
from made_dataset import catalogue, dataset, ranker

from jobs.lake import Lake, UserError
from jobs.model_store import Card, save_model
from jobs.rankers import build
from jobs.settings import Settings
from jobs.train import warmed
from models.ranker import Design

BEFORE = DAY - timedelta(days=1)
TASKS = ("click", "purchase")
ITEMS = catalogue(torch.eye(4))
BOUGHT = Design("latest", k=2, heads="entire_space")


@pytest.mark.parametrize("heads", ["single", "experts", "entire_space"])
def test_a_champion_that_knows_other_tasks_is_not_gone_on_from(lake: Lake, settings: Settings, heads: str) -> None:
    design = Design("latest", k=2, heads=heads)  # type: ignore[arg-type]  # pytest gives strings
    card = Card("m1", "e1", ITEMS.codebook_version, str(BEFORE))
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


def test_a_log_without_purchases_is_refused_where_a_purchase_follows_a_click(settings: Settings) -> None:
    bought = dataset(ITEMS, [[1, 2]], [(0, 0)], TASKS)
    assert build(bought, settings, BOUGHT).tasks == TASKS
    clicked = dataset(ITEMS, [[1, 2]], [(0, 0)], ("click",))
    with pytest.raises(UserError, match=r"needs both as tasks, not \['click'\]"):
        build(clicked, settings, BOUGHT)
