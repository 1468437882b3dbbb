"""Where a day's training starts, and what it does about missing labels and vectors."""

from datetime import timedelta
from typing import get_args

import pytest
import torch

from jobs.lake import Lake, UserError
from jobs.ranking import build
from jobs.ranking.training import kept_start, load_champion_to_continue
from jobs.release.model_store import ModelCard, save_model
from jobs.settings.tree import Settings
from models.ranker import Design, Epoch
from models.ranker.design import Heads
from tests.jobs.lake_rows import DAY, put, release_row
from tests.jobs.ranking.made_dataset import build_dataset, build_items, build_ranker

BEFORE = DAY - timedelta(days=1)
TASKS = ("click", "purchase")
ITEMS = build_items(torch.eye(4))
PURCHASE_AFTER_CLICK = Design("latest", k=2, heads="entire_space")


@pytest.mark.parametrize("heads", get_args(Heads))
def test_training_does_not_start_from_a_champion_with_other_tasks(lake: Lake, settings: Settings, heads: Heads) -> None:
    design = Design("latest", k=2, heads=heads)
    card = ModelCard.from_settings(settings, "m1", "e1", ITEMS.codebook_version, str(BEFORE))
    uri = save_model(lake, "challenger", build_ranker(ITEMS, design, TASKS), card, ITEMS.ids)
    put(lake, "gold.releases", [release_row(1, BEFORE) | {"model_uri": uri}])

    def starts_warm(*tasks: str) -> bool:
        model = build_ranker(ITEMS, design, tasks)
        return load_champion_to_continue(lake, settings, DAY, "challenger", model, ITEMS, "e1") is not None

    assert starts_warm("click", "purchase")
    assert not starts_warm("click", "purchase", "like")
    assert not starts_warm("purchase", "click")  # the same tasks, but each would get the other's head
    if heads != "entire_space":
        assert not starts_warm("click")


def test_a_training_whose_start_is_the_best_epoch_kept_its_start() -> None:
    start, worse, better = (Epoch(epoch, 0.3, 0.5, 0.7, gauc) for epoch, gauc in ((0, 0.7), (1, 0.6), (2, 0.8)))
    assert kept_start([start, worse])
    assert not kept_start([start, worse, better])
    assert not kept_start([worse])  # it started from random weights


def test_a_design_that_compares_items_warns_of_items_without_vectors(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    without_vectors = build_dataset(build_items(torch.zeros(4, 4)), [[1, 2]], [(0, 0)])
    build.build_ranker(without_vectors, settings, Design("latest", k=2))
    assert capsys.readouterr().err == ""
    build.build_ranker(without_vectors, settings, Design("item_embedding", k=2))
    assert "100% of the items have no vector" in capsys.readouterr().err


def test_a_log_without_purchases_is_refused_by_heads_that_need_them(settings: Settings) -> None:
    with_purchases = build_dataset(ITEMS, [[1, 2]], [(0, 0)], TASKS)
    assert build.build_ranker(with_purchases, settings, PURCHASE_AFTER_CLICK).tasks == TASKS
    only_clicks = build_dataset(ITEMS, [[1, 2]], [(0, 0)], ("click",))
    with pytest.raises(UserError, match=r"needs both as tasks, not \['click'\]"):
        build.build_ranker(only_clicks, settings, PURCHASE_AFTER_CLICK)
