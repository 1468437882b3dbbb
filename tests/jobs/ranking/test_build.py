"""The challenger that the settings ask for: it is trained, measured and stored, and its lists are explained."""

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
from jobs.ranking import model_inputs
from jobs.ranking.build import build_ranker, challenger_design, din_design
from jobs.ranking.dataset import TASKS, load_dataset
from jobs.ranking.evaluation import find_trained_version, score_model, score_test_rows
from jobs.ranking.histories import load_shown_histories
from jobs.ranking.items import ItemIndex, load_item_features
from jobs.ranking.model_inputs import build_model_inputs
from jobs.ranking.scoring import Scorer
from jobs.ranking.settings import Ranker as RankerSettings
from jobs.ranking.train_worker import fit_ranker
from jobs.ranking.training import load_champion_to_continue
from jobs.release.model_store import load_model
from jobs.runtime.workers import count_workers
from jobs.settings.tree import Settings
from models.ranker import PRESETS, Design, Ranker, Samples
from models.ranker.design import Attention, Extra, Feature, Heads, Search
from models.ranker.event_kinds import EVENT_KINDS
from models.ranker.prediction import predict
from tests.chain import LAST, Chain


def allowed_values(name: str) -> set[str]:
    """The values that a setting may have."""
    kind: Any = RankerSettings.model_fields[name].annotation
    while not all(isinstance(argument, str) for argument in get_args(kind)):
        kind = next(argument for argument in get_args(kind) if argument not in (type(None), ...))
    return set(get_args(kind))


def test_the_settings_allow_every_value_of_a_design() -> None:
    assert allowed_values("preset") == set(PRESETS)
    for name, kind in (("search", Search), ("attention", Attention), ("heads", Heads), ("features", Feature),
                       ("extras", Extra)):  # fmt: skip
        assert allowed_values(name) == set(get_args(kind)), name


def test_settings_that_are_set_replace_those_of_the_preset() -> None:
    assert challenger_design(RankerSettings(k=7)).k == 7
    assert challenger_design(RankerSettings(preset="din_long")).k == 500
    assert "rates" in challenger_design(RankerSettings(preset="muse")).extras
    design = challenger_design(
        RankerSettings(preset="muse", extras=(), heads="experts", lists={"purchase": 3, "click": 9})
    )
    assert (design.extras, design.heads, design.search) == ((), "experts", "item_embedding")
    assert din_design(RankerSettings(lists={"impression": 5}, k=9)).ks == (9,)
    assert design.lists == ((EVENT_KINDS["purchase"], 3), (EVENT_KINDS["click"], 9))
    assert design.describe(tuple(EVENT_KINDS))[-1] == "lists: purchase 3, click 9"
    assert not any(part.startswith("k:") for part in design.describe(tuple(EVENT_KINDS)))


def change_ranker(settings: Settings, **values: object) -> Settings:
    section = settings.ranker.model_dump() | {"epochs": 1} | values
    return settings.model_copy(update={"ranker": RankerSettings.model_validate(section)})


KEY_OF_EVENT = ("user_id", "item_id", "history_item_id", "event", "ts")
CASES: list[dict[str, object]] = [
    {"preset": "sim_soft", "heads": "entire_space"},
    {"preset": "qarm_v1"},
    {"preset": "sim_hard", "lists": {"purchase": 5, "impression": 20}, "extras": ["event", "time"], "distinct": True},
    {"preset": "qarm_v2", "latest": 10},
    {"preset": "sidereal", "extras": ["rates", "similar_rates", "event"], "lists": {"click": 9, "impression": 8}},
]


@pytest.mark.parametrize("values", CASES, ids=lambda values: str(values["preset"]))
def test_another_challenger_is_trained_measured_and_explained(
    ran: Chain, tmp_path: Path, values: dict[str, object]
) -> None:
    lake, settings = Lake(shutil.copytree(ran.lake.root, tmp_path / "lake")), change_ranker(ran.settings, **values)
    version = str(train.run(lake, settings, LAST).notes["model_version"])
    auc = evaluate.run(lake, settings, LAST).notes["auc_as_served"]
    assert auc["challenger"] > 0.5
    assert auc["champion"] > 0.5  # it was stored with another design, and searches as in training
    scorer = Scorer.load(lake, settings, LAST, f"models/{version}/challenger")
    assert scorer.model.design == challenger_design(settings.ranker)
    user = np.flatnonzero(np.diff(scorer.histories.offsets) > 10)[:5]
    target = scorer.histories.items[scorer.histories.offsets[user + 1] - 1].astype(np.int64)
    if scorer.model.design.search == "id_embedding":  # by the ID embeddings of the day's DIN
        din = load_model(lake, f"models/{version}/din", scorer.items)
        assert torch.equal(scorer.model.id_vectors[:-1], din.id_directions())
        assert scorer.model.id_vectors.any()
    rows = scorer.explain(user, target)
    assert {scorer.users[int(index)].as_py() for index in user} == {row["user_id"] for row in rows}
    if scorer.model.design.search == "item_embedding":  # an event of both lists is explained once
        assert len(rows) == len({tuple(row[name] for name in KEY_OF_EVENT) for row in rows}) > 10
    if "lists" in values:
        inputs, _ = scorer.build_inputs(user, target)
        assert inputs.kinds is not None
        first, second, *_ = scorer.model.design.ks
        impressions = slice(first, first + second)
        kinds = inputs.kinds[:, impressions][inputs.topk[:, impressions] >= 0]
        assert set(np.unique(kinds)) == {EVENT_KINDS["impression"]}
        searched = scorer.searched_histories
        assert (
            searched.lengths(user, searched.offsets[user + 1])
            > scorer.histories.lengths(user, scorer.histories.offsets[user + 1])
        ).any()


def test_histories_with_impressions_are_those_of_the_given_users(ran: Chain) -> None:
    lake, settings = ran.lake, ran.settings
    log = lake.arrow("silver.events", ["user_id", "item_id", "event"]).to_pylist()
    users = pa.array(sorted({str(row["user_id"]) for row in log if row["user_id"]})[1::2])  # the log has others, too
    items = ItemIndex(distinct_strings([pa.array([row["item_id"] for row in log])]))
    histories = load_shown_histories(lake, settings, items, LAST, users)
    assert histories.kinds is not None
    for place in (0, 7, len(users) - 1):
        events = slice(histories.offsets[place], histories.offsets[place + 1])
        shown = histories.items[events][histories.kinds[events] == EVENT_KINDS["impression"]]
        expected = [r["item_id"] for r in log if r["user_id"] == users[place].as_py() and r["event"] == "impression"]
        assert sorted(items.ids.take(pa.array(shown)).to_pylist()) == sorted(expected)


def test_rows_are_searched_in_parts_and_a_list_without_events_is_warned_of(
    ran: Chain, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lake, settings = ran.lake, ran.settings
    book = lake.arrow("gold.codebooks", ["encoder_version", "codebook_version"]).slice(0, 1).to_pylist()[0]
    data = load_dataset(lake, settings, load_item_features(lake, settings, **book), LAST)
    design = challenger_design(RankerSettings())
    at_once = build_model_inputs(data, data.test, settings, design)
    monkeypatch.setattr(model_inputs, "EVENTS_AT_ONCE", 50 * sum(design.ks))
    in_parts = build_model_inputs(data, data.test, settings, design)
    for column in ("target", "topk", "sims", "labels", "rates", "history_length"):
        assert np.allclose(getattr(at_once, column), getattr(in_parts, column), atol=1e-6, equal_nan=True), column
    build_ranker(data, settings, challenger_design(RankerSettings(lists={"like": 3, "click": 3})))
    assert capsys.readouterr().err == "warning: [ranker] lists names like, but the log has no such event\n"


def test_a_champion_is_measured_with_the_vectors_of_its_own_encoder(ran: Chain) -> None:
    lake, settings = ran.lake, ran.settings
    book = lake.arrow("gold.codebooks", ["encoder_version", "codebook_version"]).slice(0, 1).to_pylist()[0]
    items = load_item_features(lake, settings, **book)
    data = load_dataset(lake, settings, items, LAST)
    uri = f"models/{find_trained_version(lake, settings, LAST)}/challenger"
    score = partial(score_model, lake, settings, LAST)
    expected = score(data, book["encoder_version"], uri).scores["as_served"]
    flipped = replace(data, items=replace(items, vectors=items.vectors.flip(0)))  # vectors of another encoder
    assert not np.array_equal(score(flipped, book["encoder_version"], uri).scores["as_served"], expected)
    np.testing.assert_array_equal(score(flipped, "another", uri).scores["as_served"], expected)


def test_a_model_is_measured_and_served_with_the_settings_that_it_was_trained_with(ran: Chain) -> None:
    lake, settings = ran.lake, ran.settings
    logs = settings.logs.model_copy(update={"train_days": 2, "like_from": 5.0})
    today = change_ranker(settings, gsu_dim=8, max_history=3).model_copy(update={"logs": logs})
    book = lake.arrow("gold.codebooks", ["encoder_version", "codebook_version"]).slice(0, 1).to_pylist()[0]
    uri = f"models/{find_trained_version(lake, settings, LAST)}/challenger"
    data_today, data_trained = (  # the same test rows
        load_dataset(lake, chosen, load_item_features(lake, chosen, **book), LAST) for chosen in (today, settings)
    )
    model, _, scores = score_model(lake, today, LAST, data_today, book["encoder_version"], uri)
    np.testing.assert_array_equal(scores["up_to_the_moment"], score_test_rows(data_trained, settings, model))
    assert not np.array_equal(scores["up_to_the_moment"], score_test_rows(data_today, today, model))
    pairs = data_trained.test.user[:50], data_trained.test.target[:50]
    served, expected = (Scorer.load(lake, chosen, LAST, uri).build_inputs(*pairs)[0] for chosen in (today, settings))
    np.testing.assert_array_equal(predict(model, served), predict(model, expected))
    new = build_ranker(data_trained, settings, model.design)
    arguments = (LAST, "challenger", new, data_trained.items, book["encoder_version"])
    assert load_champion_to_continue(lake, settings, *arguments)
    assert not load_champion_to_continue(lake, today, *arguments)


def test_a_design_that_needs_more_than_the_log_has_is_refused(ran: Chain, tmp_path: Path) -> None:
    lake = Lake(shutil.copytree(ran.lake.root, tmp_path / "lake"))
    items = lake.arrow("silver.items")
    column = items.column_names.index("category")
    lake.replace("silver.items", items.set_column(column, "category", pa.nulls(len(items), items["category"].type)))
    with pytest.raises(UserError, match="search category needs categories"):
        train.run(lake, change_ranker(ran.settings, search="category"), LAST)


def remove_labels(ran: Chain, folder: Path, before: date) -> Lake:
    """The lake without labels before that day."""
    lake = Lake(shutil.copytree(ran.lake.root, folder / "lake"))
    samples = lake.arrow("gold.samples")
    early = pc.less(samples["day"], pa.scalar(before))
    for task in TASKS:
        unknown = pc.if_else(early, pa.scalar(None, samples[task].type), samples[task])
        samples = samples.set_column(samples.column_names.index(task), task, unknown)
    lake.replace("gold.samples", samples)
    return lake


def test_a_day_without_a_label_before_it_trains_nothing(ran: Chain, tmp_path: Path) -> None:
    lake = remove_labels(ran, tmp_path, LAST)
    assert "0 samples with a label to train on" in str(train.run(lake, ran.settings, LAST).notes["skipped"])
    assert "nothing was trained" in str(evaluate.run(lake, ran.settings, LAST).notes["skipped"])


def test_the_first_labelled_rows_are_trained_on_and_validated(ran: Chain, tmp_path: Path) -> None:
    lake = remove_labels(ran, tmp_path, LAST - timedelta(days=1))  # the labelled rows are among the latest
    result = train.run(lake, change_ranker(ran.settings), LAST)
    labelled = lake.arrow("gold.samples", ["click"], ds.field("day") == LAST - timedelta(days=1))
    assert result.rows_in == len(labelled) - labelled["click"].null_count


def test_a_training_that_diverged_says_what_to_do() -> None:
    model = Ranker(design=Design("latest", k=1), n_items=9, tasks=("click",))
    zeros = np.zeros(40, np.int64)
    labels = (np.arange(40) % 2).astype(np.float32)[:, None]
    rows = Samples(zeros, zeros[:, None], zeros[:, None].astype(np.float32), labels, zeros, zeros, np.arange(40))
    options = {"seed": 0, "epochs": 3, "batch_size": 4, "valid_share": 0.2, "patience": 3}
    with pytest.raises(UserError, match=r"training din diverged \(epoch \d gives NaN or infinity\): lower ranker.lr"):
        fit_ranker(model, rows.columns(), "din", lr=1e30, **options)


def test_more_workers_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert (count_workers(0), count_workers(2)) == (2, 2)
    with pytest.raises(UserError, match="ask for 3 workers, and there are 2 GPUs"):
        count_workers(3)
