"""The challenger as the settings ask for it: trained, measured, stored, and what it recommends explained."""

import shutil
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
import torch

from jobs import evaluate, train
from jobs.lake import Lake, UserError
from jobs.lake.arrow import distinct_strings
from jobs.ranking import dataset
from jobs.ranking.build import build, challenger_design, din_design
from jobs.ranking.dataset import load_dataset, searched
from jobs.ranking.histories import EVENTS, load_histories_with_impressions
from jobs.ranking.items import Items, load_item_features
from jobs.ranking.scoring import Scorer
from jobs.ranking.settings import Ranker as Section
from jobs.ranking.train_worker import fit_told
from jobs.release.model_store import load_model
from jobs.runtime.workers import count_workers
from jobs.settings.tree import Settings
from models.ranker import PRESETS, Design, Ranker, Samples
from models.ranker.design import Attention, Extra, Feature, Heads, Search
from models.ranker.training import predict
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
    assert din_design(Section(lists={"impression": 5}, k=9)).ks == (9,)
    assert told.lists == ((EVENTS["purchase"], 3), (EVENTS["click"], 9))
    assert told.told(tuple(EVENTS))[-1] == "lists: purchase 3, click 9"
    assert not any(part.startswith("k:") for part in told.told(tuple(EVENTS)))


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
    if scorer.model.design.search == "id_embedding":  # by what the DIN of the day learned
        din = load_model(lake, f"models/{version}/din", scorer.catalogue)
        assert torch.equal(scorer.model.id_vectors[:-1], din.id_directions())
        assert scorer.model.id_vectors.any()
    rows = scorer.explain(user, target)
    assert {scorer.users[int(one)].as_py() for one in user} == {row["user_id"] for row in rows}
    if "lists" in told:
        of = scorer.rows(user, target)[0]
        assert of.kinds is not None
        assert set(np.unique(of.kinds[:, 5:][of.topk[:, 5:] >= 0])) == {EVENTS["impression"]}
        longest = scorer.within.lengths(user, scorer.within.offsets[user + 1])
        assert (longest > scorer.histories.lengths(user, scorer.histories.offsets[user + 1])).any()


def test_exposures_are_those_of_the_users_that_were_asked_for(ran: Chain) -> None:
    lake, settings = ran.lake, ran.settings
    log = lake.arrow("silver.events", ["user_id", "item_id", "event"]).to_pylist()
    users = pa.array(sorted({str(row["user_id"]) for row in log if row["user_id"]})[1::2])  # others are there, too
    items = Items(distinct_strings([pa.array([row["item_id"] for row in log])]))
    found = load_histories_with_impressions(lake, settings, items, LAST, users)
    assert found.kinds is not None
    for place in (0, 7, len(users) - 1):
        mine = slice(found.offsets[place], found.offsets[place + 1])
        shown = found.items[mine][found.kinds[mine] == EVENTS["impression"]]
        wanted = [r["item_id"] for r in log if r["user_id"] == users[place].as_py() and r["event"] == "impression"]
        assert sorted(items.ids.take(pa.array(shown)).to_pylist()) == sorted(wanted)


def test_rows_are_searched_for_in_parts_and_a_list_of_nothing_is_told(
    ran: Chain, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lake, settings = ran.lake, ran.settings
    book = lake.arrow("gold.codebooks", ["encoder_version", "codebook_version"]).slice(0, 1).to_pylist()[0]
    data = load_dataset(lake, settings, load_item_features(lake, settings, **book), LAST)
    design = challenger_design(Section())
    whole = searched(data, data.test, settings, design)
    monkeypatch.setattr(dataset, "FOUND_AT_ONCE", 50 * sum(design.ks))
    parts = searched(data, data.test, settings, design)
    for column in ("target", "topk", "sims", "labels", "rates", "history_length"):
        assert np.allclose(getattr(whole, column), getattr(parts, column), atol=1e-6, equal_nan=True), column
    build(data, settings, challenger_design(Section(lists={"like": 3, "click": 3})))
    assert capsys.readouterr().err == "warning: [ranker] lists names like, and the log holds none\n"


def test_a_champion_is_judged_by_the_vectors_of_its_own_encoder(ran: Chain) -> None:
    lake, settings = ran.lake, ran.settings
    book = lake.arrow("gold.codebooks", ["encoder_version", "codebook_version"]).slice(0, 1).to_pylist()[0]
    items = load_item_features(lake, settings, **book)
    data = load_dataset(lake, settings, items, LAST)
    uri = f"models/{evaluate.trained(lake, settings, LAST)}/challenger"
    judge = partial(evaluate._judged, lake, settings, LAST)
    own = judge(data, book["encoder_version"], uri).scores
    turned = replace(data, catalogue=replace(items, vectors=items.vectors.flip(0)))  # those of another encoder
    assert not np.array_equal(judge(turned, book["encoder_version"], uri).scores, own)
    np.testing.assert_array_equal(judge(turned, "another", uri).scores, own)


def test_a_model_is_judged_and_served_with_the_settings_that_it_was_trained_with(ran: Chain) -> None:
    lake, settings = ran.lake, ran.settings
    logs = settings.logs.model_copy(update={"train_days": 2, "like_from": 5.0})
    today = other(settings, gsu_dim=8, max_history=3).model_copy(update={"logs": logs})
    book = lake.arrow("gold.codebooks", ["encoder_version", "codebook_version"]).slice(0, 1).to_pylist()[0]
    uri = f"models/{evaluate.trained(lake, settings, LAST)}/challenger"
    found, wanted = (
        load_dataset(lake, of, load_item_features(lake, of, **book), LAST) for of in (today, settings)
    )  # the same test rows
    model, _, scores = evaluate._judged(lake, today, LAST, found, book["encoder_version"], uri)
    np.testing.assert_array_equal(scores, evaluate._scores(wanted, settings, model))
    assert not np.array_equal(scores, evaluate._scores(found, today, model))
    row = wanted.test.user[:50], wanted.test.target[:50]
    served, known = (Scorer.load(lake, of, LAST, uri).rows(*row)[0] for of in (today, settings))
    np.testing.assert_array_equal(predict(model, served), predict(model, known))
    champion = build(wanted, settings, model.design)
    assert train.warmed(lake, settings, LAST, "challenger", champion, wanted.catalogue, book["encoder_version"])
    assert not train.warmed(lake, today, LAST, "challenger", champion, wanted.catalogue, book["encoder_version"])


def test_a_design_that_the_log_cannot_feed_is_refused(ran: Chain, tmp_path: Path) -> None:
    lake = Lake(shutil.copytree(ran.lake.root, tmp_path / "lake"))
    items = lake.arrow("silver.items")
    at = items.column_names.index("category")
    lake.replace("silver.items", items.set_column(at, "category", pa.nulls(len(items), items["category"].type)))
    with pytest.raises(UserError, match="search category needs categories"):
        train.run(lake, other(ran.settings, search="category"), LAST)


def without_labels(ran: Chain, folder: Path, before: date) -> Lake:
    """The lake as it would be had nothing been clicked before that day: labels are not known then."""
    lake = Lake(shutil.copytree(ran.lake.root, folder / "lake"))
    samples = lake.arrow("gold.samples")
    early = pc.less(samples["day"], pa.scalar(before))
    for task in dataset.TASKS:
        unknown = pc.if_else(early, pa.scalar(None, samples[task].type), samples[task])
        samples = samples.set_column(samples.column_names.index(task), task, unknown)
    lake.replace("gold.samples", samples)
    return lake


def test_a_day_without_a_label_before_it_trains_nothing(ran: Chain, tmp_path: Path) -> None:
    lake = without_labels(ran, tmp_path, LAST)
    assert "0 samples with a label to train on" in str(train.run(lake, ran.settings, LAST).notes["skipped"])
    assert "nothing was trained" in str(evaluate.run(lake, ran.settings, LAST).notes["skipped"])


def test_the_first_labelled_rows_are_trained_on_and_judged_by(ran: Chain, tmp_path: Path) -> None:
    lake = without_labels(ran, tmp_path, LAST - timedelta(days=1))  # they are among the latest of all rows
    done = train.run(lake, other(ran.settings), LAST)
    labelled = lake.arrow("gold.samples", ["click"], ds.field("day") == LAST - timedelta(days=1))
    assert done.rows_in == len(labelled) - labelled["click"].null_count


def test_a_training_that_goes_astray_says_what_to_do() -> None:
    model = Ranker(design=Design("latest", k=1), n_items=9, tasks=("click",))
    zeros = np.zeros(40, np.int64)
    labels = (np.arange(40) % 2).astype(np.float32)[:, None]
    rows = Samples(zeros, zeros[:, None], zeros[:, None].astype(np.float32), labels, zeros, zeros, np.arange(40))
    told = {"seed": 0, "epochs": 3, "batch_size": 4, "valid_share": 0.2, "patience": 3}
    with pytest.raises(UserError, match=r"training din went astray \(epoch \d gives no numbers\): lower ranker.lr"):
        fit_told(model, rows, "din", lr=1e30, **told)


def test_more_ranks_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert (count_workers(0), count_workers(2)) == (2, 2)
    with pytest.raises(UserError, match="ask for 3 workers, and there are 2 GPUs"):
        count_workers(3)
