"""The challenger as the settings ask for it: trained, measured, stored, and what it recommends explained."""

import shutil
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pytest

from jobs import evaluate, train
from jobs.behaviour import EVENTS
from jobs.lake import Lake, UserError
from jobs.rankers import challenger_design
from jobs.scorer import Scorer
from jobs.sections import Ranker as Section
from jobs.settings import Settings
from models.ranker import PRESETS
from models.ranker.design import Attention, Extra, Feature, Heads, Search
from tests.chain import LAST, Chain


def literals(name: str) -> set[str]:
    """What a setting may be."""
    kind: Any = Section.model_fields[name].annotation
    while not all(isinstance(one, str) for one in get_args(kind)):
        kind = next(one for one in get_args(kind) if one not in (type(None), ...))
    return set(get_args(kind))


def test_the_settings_name_every_point_of_the_grid() -> None:
    assert literals("preset") == set(PRESETS)
    for name, kind in (("search", Search), ("attention", Attention), ("heads", Heads), ("features", Feature),
                       ("extras", Extra)):  # fmt: skip
        assert literals(name) == set(get_args(kind)), name


def test_what_the_settings_tell_stands_in_place_of_the_presets_own() -> None:
    assert challenger_design(Section(k=7)).k == 7
    assert challenger_design(Section(preset="din_long")).k == 500
    assert "rates" in challenger_design(Section(preset="muse")).extras
    told = challenger_design(Section(preset="muse", extras=(), heads="experts", lists={"purchase": 3, "click": 9}))
    assert (told.extras, told.heads, told.search) == ((), "experts", "item_embedding")
    assert told.lists == ((EVENTS["purchase"], 3), (EVENTS["click"], 9))


def other(settings: Settings, **told: object) -> Settings:
    section = settings.ranker.model_dump() | {"epochs": 1} | told
    return settings.model_copy(update={"ranker": Section.model_validate(section)})


CASES: list[dict[str, object]] = [
    {"preset": "sim_soft", "heads": "entire_space"},
    {"preset": "qarm_v1"},
    {"preset": "sim_hard", "lists": {"purchase": 5, "impression": 20}, "extras": ["event", "time"], "distinct": True},
]


@pytest.mark.parametrize("told", CASES, ids=lambda told: str(told["preset"]))
def test_another_challenger_is_trained_measured_and_explained(
    ran: Chain, tmp_path: Path, told: dict[str, object]
) -> None:
    lake, settings = Lake(shutil.copytree(ran.lake.root, tmp_path / "lake")), other(ran.settings, **told)
    version = str(train.run(lake, settings, LAST).notes["model_version"])
    auc = evaluate.run(lake, settings, LAST).notes["auc"]
    assert auc["challenger"] > 0.5
    assert auc["champion"] > 0.5  # stored with another design, it searches as it was trained
    scorer = Scorer.load(lake, settings, LAST, f"models/{version}/challenger")
    assert scorer.model.design == challenger_design(settings.ranker)
    user = np.flatnonzero(np.diff(scorer.histories.offsets) > 10)[:5]
    target = scorer.histories.items[scorer.histories.offsets[user + 1] - 1].astype(np.int64)
    rows = scorer.explain(user, target)
    assert {scorer.users[int(one)].as_py() for one in user} == {row["user_id"] for row in rows}
    if "lists" in told:
        of = scorer.rows(user, target)[0]
        assert of.kinds is not None
        assert set(np.unique(of.kinds[:, 5:][of.topk[:, 5:] >= 0])) == {EVENTS["impression"]}
        longest = scorer.searched.lengths(user, scorer.searched.offsets[user + 1])
        assert (longest > scorer.histories.lengths(user, scorer.histories.offsets[user + 1])).any()


def test_a_design_that_the_log_cannot_feed_is_refused(ran: Chain, tmp_path: Path) -> None:
    lake = Lake(shutil.copytree(ran.lake.root, tmp_path / "lake"))
    items = lake.arrow("silver.items")
    at = items.column_names.index("category")
    lake.replace("silver.items", items.set_column(at, "category", pa.nulls(len(items), items["category"].type)))
    with pytest.raises(UserError, match="search category needs categories"):
        train.run(lake, other(ran.settings, search="category"), LAST)
