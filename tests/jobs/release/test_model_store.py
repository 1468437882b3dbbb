"""Stored models: a model that cannot be read gives an error in one sentence."""

import json
import resource
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from jobs.lake import Lake, UserError
from jobs.ranking.items import ItemFeatures
from jobs.release.model_store import ModelCard, load_card, load_model, save_model, why_unreadable
from jobs.settings.tree import load_settings
from models.ranker import Design, Ranker

ITEM = pa.array(["i"])
CARD = ModelCard.from_settings(load_settings(), "m", "e", "b", "2026-11-20")


@pytest.mark.parametrize(
    ("content", "message"), [(None, "is not in"), ('{"k": 50}', "another version of this code"), ("", "is damaged")]
)
def test_the_error_names_a_card_that_is_missing_damaged_or_of_another_version(
    lake: Lake, content: str | None, message: str
) -> None:
    folder = Path(lake.root) / "models/m/challenger"
    folder.mkdir(parents=True)
    if content is not None:
        (folder / "card.json").write_text(content)
    with pytest.raises(UserError, match=message):
        load_card(lake, "models/m/challenger")


def test_a_card_restores_the_settings_that_a_model_was_trained_with() -> None:
    today = load_settings()
    logs = today.logs.model_copy(update={"train_days": 2, "like_from": 5.0, "user_share": 0.5})
    r = today.ranker.model_copy(update={"gsu_dim": 8, "max_history": 3})
    trained = today.model_copy(update={"logs": logs, "ranker": r})
    assert ModelCard.from_settings(trained, "m", "e", "b", "2026-11-20").apply_to(today) == trained != today


def test_a_card_from_before_there_were_samples_of_users_means_all_users(lake: Lake) -> None:
    uri = save_model(lake, "challenger", Ranker(design=Design("latest"), n_items=1, tasks=("click",)), CARD, ITEM)
    file = Path(lake.root) / uri / "card.json"
    values = json.loads(file.read_text())
    assert values.pop("user_share") == 1.0
    file.write_text(json.dumps(values))
    assert load_card(lake, uri) == CARD


def test_the_error_names_a_ranker_of_another_version(lake: Lake) -> None:
    model = Ranker(design=Design("latest"), n_items=2, tasks=("click",))
    uri = save_model(lake, "challenger", model, CARD, pa.array(["i", "j"]))
    zeros = torch.zeros(2, dtype=torch.int64)
    items = ItemFeatures(pa.array(["i", "j"]), torch.zeros(2, 4), zeros.repeat(3, 1).T, "b", zeros)
    assert load_model(lake, uri, items).n_items == 2
    prefix = replace(model.design, features=("prefix",))
    coded = Ranker(design=prefix, n_items=1, tasks=("click",), code_sizes=(4, 4, 4))
    coded_uri = save_model(lake, "coded", coded, CARD, pa.array(["i"]))
    assert load_model(lake, coded_uri, items).codes[1].tolist() == [0, 0, 0]  # of the item that is new to it
    items_file = Path(lake.root) / uri / "items.json"
    for content in ('["i"]', "{}", "[1, 2]"):
        items_file.write_text(content)
        with pytest.raises(UserError, match="is damaged"):
            load_model(lake, uri, items)
    items_file.write_text('["i", "j"]')
    model_file = Path(lake.root) / uri / "model.json"
    arguments = json.loads(model_file.read_text())
    for other in ("x", {"k": 50}):
        model_file.write_text(json.dumps(other))
        with pytest.raises(UserError, match="another version of this code"):
            load_model(lake, uri, items)
    for other in ({"gone": 4}, {"design": arguments["design"] | {"attention": "semantic"}}):
        model_file.write_text(json.dumps(arguments | other))
        with pytest.raises(UserError, match="another version of this code"):
            load_model(lake, uri, items)


def test_a_model_with_nan_weights_is_not_served(lake: Lake) -> None:
    model = Ranker(design=Design("latest"), n_items=2, tasks=("click",))
    torch.nn.init.constant_(model.ids.weight, torch.nan)
    uri = save_model(lake, "challenger", model, CARD, pa.array(["i", "j"]))
    assert "is damaged (some of its weights are NaN or infinite)" in str(why_unreadable(lake, uri))


def test_a_full_temporary_folder_is_not_taken_for_a_damaged_model(lake: Lake) -> None:
    model = Ranker(design=Design("latest"), n_items=100, tasks=("click",))
    uri = save_model(lake, "challenger", model, CARD, pa.array([f"i{n}" for n in range(100)]))
    zeros = torch.zeros(2, dtype=torch.int64)
    items = ItemFeatures(pa.array(["i1", "j"]), torch.zeros(2, 4), zeros.repeat(3, 1).T, "b", zeros)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            load_model(lake, uri, items)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert load_model(lake, uri, items).n_items == 2
