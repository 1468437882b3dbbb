"""Stored models: what cannot be read is told in a sentence."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from jobs.lake import Lake, UserError
from jobs.ranking.items import ItemFeatures
from jobs.release.model_store import ModelCard, load_card, load_model, save_model, unreadable
from jobs.settings.tree import load_settings
from models.ranker import Design, Ranker

CARD = ModelCard.of(load_settings(), "m", "e", "b", "2026-11-20")


@pytest.mark.parametrize(
    ("held", "told"), [(None, "is not in"), ('{"k": 50}', "another version of this code"), ("", "is damaged")]
)
def test_a_card_that_is_gone_or_of_another_version_is_named(lake: Lake, held: str | None, told: str) -> None:
    folder = Path(lake.root) / "models/m/challenger"
    folder.mkdir(parents=True)
    if held is not None:
        (folder / "card.json").write_text(held)
    with pytest.raises(UserError, match=told):
        load_card(lake, "models/m/challenger")


def test_a_card_tells_a_model_what_it_was_trained_with() -> None:
    now = load_settings()
    logs = now.logs.model_copy(update={"train_days": 2, "like_from": 5.0})
    r = now.ranker.model_copy(update={"gsu_dim": 8, "max_history": 3})
    then = now.model_copy(update={"logs": logs, "ranker": r})
    assert ModelCard.of(then, "m", "e", "b", "2026-11-20").settings(now) == then != now


def test_a_ranker_with_settings_of_another_version_is_named(lake: Lake) -> None:
    model = Ranker(design=Design("latest"), n_items=2, tasks=("click",))
    uri = save_model(lake, "challenger", model, CARD, pa.array(["i", "j"]))
    none = torch.zeros(2, dtype=torch.int64)
    catalogue = ItemFeatures(pa.array(["i", "j"]), torch.zeros(2, 4), none.repeat(3, 1).T, "b", none)
    assert load_model(lake, uri, catalogue).n_items == 2
    prefix = replace(model.design, features=("prefix",))
    coded = Ranker(design=prefix, n_items=1, tasks=("click",), code_sizes=(4, 4, 4))
    where = save_model(lake, "coded", coded, CARD, pa.array(["i"]))
    assert load_model(lake, where, catalogue).codes[1].tolist() == [0, 0, 0]  # of the item that it does not know
    items = Path(lake.root) / uri / "items.json"
    for held in ('["i"]', "{}", "[1, 2]"):
        items.write_text(held)
        with pytest.raises(UserError, match="is damaged"):
            load_model(lake, uri, catalogue)
    items.write_text('["i", "j"]')
    told = Path(lake.root) / uri / "model.json"
    held = json.loads(told.read_text())
    for other in ("x", {"k": 50}):
        told.write_text(json.dumps(other))
        with pytest.raises(UserError, match="another version of this code"):
            load_model(lake, uri, catalogue)
    for other in ({"gone": 4}, {"design": held["design"] | {"attention": "semantic"}}):
        told.write_text(json.dumps(held | other))
        with pytest.raises(UserError, match="another version of this code"):
            load_model(lake, uri, catalogue)


def test_weights_that_are_no_numbers_are_not_served(lake: Lake) -> None:
    model = Ranker(design=Design("latest"), n_items=2, tasks=("click",))
    torch.nn.init.constant_(model.ids.weight, torch.nan)
    uri = save_model(lake, "challenger", model, CARD, pa.array(["i", "j"]))
    assert "is damaged (some of its weights are no numbers)" in str(unreadable(lake, uri))
