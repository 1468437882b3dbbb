"""Days through every job: what is published, what stays, what a rerun leaves alone."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
import torch

from jobs import embed, evaluate, explain, promote, quantize, recommend, train
from jobs.encoders.vectors import current_vectors
from jobs.lake import Lake, UserError
from jobs.lake.metrics import metric_rows, replace_metrics
from jobs.ranking.build import build_ranker, challenger_design, din_design
from jobs.ranking.dataset import load_dataset
from jobs.ranking.evaluation import popularity_deciles
from jobs.ranking.items import load_item_features
from jobs.ranking.training import load_champion_to_continue
from jobs.release import gate
from jobs.release import mlflow_registry as tracking
from jobs.release.model_store import load_card, load_model
from jobs.release.releases import live_release
from jobs.release.settings import Gate
from jobs.settings.tree import Settings
from models.ranker.design import PRESETS
from models.ranker.event_kinds import EVENT_KINDS
from models.ranker.model import Ranker
from tests.chain import DAYS, LAST, Chain, assert_no_future, content, run_day


def test_a_release_names_the_version_of_every_table_and_a_model_that_is_there(ran: Chain) -> None:
    lake = ran.lake
    releases = sorted(lake.arrow("gold.releases").to_pylist(), key=lambda r: r["release"])
    assert [r["day"] for r in releases] == DAYS[-2:]
    assert releases[0]["kind"] == "promote"
    assert (Path(lake.root) / releases[-1]["model_uri"] / "model.safetensors").is_file()
    for name, version in releases[-1]["tables"]:
        assert lake.arrow(name, version=version).num_rows > 0


def test_challenger_champion_and_din_are_judged_on_the_same_rows(ran: Chain) -> None:
    rows = [r for r in ran.lake.arrow("gold.metrics").to_pylist() if r["job"] == "evaluate" and r["day"] == LAST]
    auc = {r["model"]: r for r in rows if r["metric"] == "auc" and r["slice"] == "all"}
    assert {"challenger", "champion", "din", "challenger_minus_champion", "challenger_minus_din"} == set(auc)
    assert len({r["rows"] for r in auc.values()}) == 1
    for other in ("champion", "din"):
        gap = auc[f"challenger_minus_{other}"]
        assert gap["value"] == pytest.approx(auc["challenger"]["value"] - auc[other]["value"])
        assert gap["ci_low"] <= gap["value"] <= gap["ci_high"]
    assert auc["challenger"]["ci_low"] < auc["challenger"]["value"] < auc["challenger"]["ci_high"]
    assert auc["challenger"]["value"] > 0.55
    assert 0 < next(r["value"] for r in rows if r["metric"] == "missed_by_id_search") < 1
    counted = {r["slice"]: r["rows"] for r in rows if r["model"] == "challenger" and r["metric"] == "auc"}
    assert sum(counted.get(f"popularity_{tenth}", 0) for tenth in range(1, 11)) == counted["all"] == counted["purchase"]
    assert {r["model"] for r in rows if r["metric"] == "hit_rate_at_10" and r["value"] > 0} == {"live", "popular"}


def test_tenths_of_popularity_hold_equally_many_rows_where_items_can_be_parted() -> None:
    target = np.repeat(np.arange(20), 3)
    assert popularity_deciles(target, np.arange(20)[::-1]).tolist() == np.repeat(np.arange(10)[::-1], 6).tolist()
    assert popularity_deciles(np.array([1, 1, 1, 0]), np.array([5, 9])).tolist() == [7, 7, 7, 0]
    assert popularity_deciles(np.zeros(0, int), np.zeros(3, int)).tolist() == []


def test_a_published_id_does_not_move_when_new_items_arrive(ran: Chain) -> None:
    lake = ran.lake
    before = {r["item_id"]: r["sid"] for r in Lake(ran.before).arrow("gold.semantic_ids").to_pylist()}
    after = {r["item_id"]: r["sid"] for r in lake.arrow("gold.semantic_ids").to_pylist()}
    assert {item: after[item] for item in before} == before
    assert len(after) > len(before)
    assert len(set(lake.arrow("gold.semantic_ids")["codebook_version"].to_pylist())) == 1


def test_running_a_day_again_ends_in_the_same_tables(ran: Chain) -> None:
    run_day(ran.lake, ran.settings, LAST, ran.landing)
    after = content(ran.lake)
    assert [name for name in after if ran.content[name] != after[name]] == []


def test_only_items_whose_text_changed_are_embedded(ran: Chain) -> None:
    lake, settings = ran.lake, ran.settings
    assert embed.run(lake, settings, LAST).rows_out == 0
    vectors = lake.arrow("gold.item_embeddings", ["item_id", "content_hash"])
    assert vectors.num_rows == len({tuple(r.values()) for r in vectors.to_pylist()})


def test_a_day_goes_on_from_the_champion_if_it_was_made_alike(ran: Chain) -> None:
    lake, settings = ran.lake, ran.settings
    champion = live_release(lake, before=str(LAST))
    assert champion
    card = load_card(lake, champion["model_uri"])
    catalogue = load_item_features(lake, settings, card.encoder_version, card.codebook_version)
    data = load_dataset(lake, settings, catalogue, LAST)

    def continue_training(settings: Settings, day: date = LAST, book: str = card.codebook_version) -> Ranker | None:
        model, now = (
            build_ranker(data, settings, challenger_design(settings.ranker)),
            replace(catalogue, codebook_version=book),
        )
        return load_champion_to_continue(lake, settings, day, "challenger", model, now, card.encoder_version)

    def change_ranker(**values: object) -> Settings:
        return settings.model_copy(update={"ranker": settings.ranker.model_copy(update=values)})

    old = continue_training(change_ranker(seed=3))
    assert old is not None
    assert torch.equal(old.ids.weight, load_model(lake, champion["model_uri"], catalogue).ids.weight)
    assert torch.equal(old.codes[:-1].cpu(), torch.where(catalogue.codes < 0, old.codes[-1].cpu(), catalogue.codes))
    assert continue_training(settings, book="a refit of the same kind") is not None
    kind = settings.quantizer.model_copy(update={"kind": "rq_vae"})
    assert continue_training(settings.model_copy(update={"quantizer": kind}), book="a codebook of another kind") is None
    assert continue_training(change_ranker(warm_start=False)) is None
    assert continue_training(change_ranker(dim=8)) is None
    assert continue_training(settings, LAST - timedelta(30)) is None
    for name, design, goes_on in (
        ("din", din_design(settings.ranker), True),
        ("challenger", challenger_design(settings.ranker), False),
    ):
        model, now = build_ranker(data, settings, design), replace(catalogue, codebook_version="of another encoder")
        continued = load_champion_to_continue(lake, settings, LAST, name, model, now, "another encoder")
        assert (continued is not None) == goes_on  # DIN reads neither vectors nor codes


def test_the_models_of_the_second_day_began_at_those_of_the_first(ran: Chain) -> None:
    first, last = ran.trained[DAYS[-2]].notes, ran.trained[LAST].notes
    assert first["warm"] == {"din": False, "challenger": False}
    assert last["warm"] == {"din": True, "challenger": True}
    book = ran.lake.arrow("gold.codebooks", ["encoder_version", "codebook_version"]).slice(0, 1).to_pylist()[0]
    catalogue = load_item_features(ran.lake, ran.settings, **book)
    for name in ("din", "challenger"):
        old, new = (load_model(ran.lake, f"models/{day['model_version']}/{name}", catalogue) for day in (first, last))
        unread = ~new.known[:-1]  # in training: such rows are as they were at its start
        assert unread.any()
        assert torch.equal(new.ids.weight[:-1][unread], old.ids.weight[:-1][unread])


def test_the_first_items_of_a_few_users_are_explained_by_their_histories(
    ran: Chain, capsys: pytest.CaptureFixture[str]
) -> None:
    lake, settings = ran.lake, ran.settings
    rows = lake.arrow("gold.explanations", where=pc.field("day") == LAST).to_pylist()
    first = {(r["user_id"], r["item_id"]): r["score"] for r in lake.arrow("gold.recommendations").to_pylist()
             if r["day"] == LAST and r["rank"] == 1}  # fmt: skip
    assert len({r["user_id"] for r in rows}) == 3
    done = {(r["user_id"], r["item_id"], r["ts"]) for r in lake.arrow("silver.events").to_pylist()}
    for row in rows:
        assert row["score"] == pytest.approx(first[row["user_id"], row["item_id"]], abs=1e-6)
        assert (row["user_id"], row["history_item_id"], row["ts"]) in done
    first_user = [r for r in rows if r["user_id"] == rows[0]["user_id"]]
    assert [r["attention"] for r in first_user] == sorted((r["attention"] for r in first_user), reverse=True)
    result = explain.run(lake, settings, LAST, user=first_user[0]["user_id"], item=first_user[0]["item_id"])
    assert result.rows_in == len(first_user)
    assert result.notes["score"] == pytest.approx(first_user[0]["score"], abs=1e-6)
    assert f"{first_user[0]['attention']:.3f}" in capsys.readouterr().err
    with pytest.raises(UserError, match="there is no item nothing"):
        explain.run(lake, settings, LAST, user=first_user[0]["user_id"], item="nothing")
    with pytest.raises(UserError, match="no model was live"):
        explain.run(lake, settings, LAST - timedelta(100), user=first_user[0]["user_id"], item="nothing")


def test_recommendations_have_ranks_from_1_and_hold_nothing_seen(ran: Chain) -> None:
    lake, settings = ran.lake, ran.settings
    rows = lake.arrow("gold.recommendations").filter(pc.field("day") == LAST)
    seen = lake.arrow("silver.events").filter(pc.field("event").isin(["click", "purchase"]))
    pairs_seen = {(r["user_id"], r["item_id"]) for r in seen.to_pylist()}
    by_user: dict[str, list[dict[str, object]]] = {}
    for row in rows.to_pylist():
        assert (row["user_id"], row["item_id"]) not in pairs_seen
        by_user.setdefault(row["user_id"], []).append(row)
    assert by_user
    for user_rows in by_user.values():
        user_rows.sort(key=lambda r: int(str(r["rank"])))
        assert [r["rank"] for r in user_rows] == list(range(1, settings.recommend.k + 1))


def test_no_feature_sees_what_happens_at_or_after_the_sample(ran: Chain, tmp_path: Path) -> None:
    assert_no_future(ran.lake, ran.settings, LAST, Lake(tmp_path / "other"))
    lists = ((EVENT_KINDS["impression"], 20), (EVENT_KINDS["purchase"], 5))
    design = replace(PRESETS["sim_hard"], extras=("rates",), lists=lists)
    assert_no_future(ran.lake, ran.settings, LAST, Lake(tmp_path / "shown"), design)


def test_a_worse_challenger_stays_out_and_a_better_one_goes_live(ran: Chain) -> None:
    lake, settings = ran.lake, ran.settings
    settings = settings.model_copy(update={"gate": Gate()})
    day = LAST + timedelta(days=1)
    trained = max(lake.arrow("gold.releases").to_pylist(), key=lambda r: r["release"])

    def measured(challenger: float, champion: float) -> gate.Decision:
        options = {"rows": 1000, "version": trained["model_version"]}
        rows = metric_rows(
            "challenger", "as_served", {"auc": challenger, "calibration": 1.0, "log_loss": 0.5}, **options
        )
        rows += metric_rows("champion", "as_served", {"auc": champion, "calibration": 1.0, "log_loss": 0.5}, **options)
        gaps = {"auc": challenger - champion, "log_loss": 0.0}
        intervals = {metric: (gap - 0.01, gap + 0.01) for metric, gap in gaps.items()}
        rows += metric_rows("challenger_minus_champion", "as_served", gaps, intervals=intervals, rows=1000)
        replace_metrics(lake, "evaluate", day, rows)
        return gate.decide(lake, settings, day)

    assert measured(0.70, 0.71).kind == "keep"
    assert measured(0.70, 0.70).kind == "keep"
    assert measured(0.71, 0.70).kind == "promote"
    replace_metrics(lake, "evaluate", day, [])
    assert gate.decide(lake, settings, day).kind == "keep"  # nothing was trained


def test_a_backfill_of_an_older_day_publishes_nothing(ran: Chain) -> None:
    lake, settings = ran.lake, ran.settings
    before = lake.arrow("gold.releases").num_rows
    written = promote.run(lake, settings, DAYS[1])
    assert written.notes["released"] is False
    assert lake.arrow("gold.releases").num_rows == before


def test_running_an_older_day_again_leaves_what_it_published(ran: Chain) -> None:
    lake, settings = ran.lake, ran.settings
    before = content(lake)
    quantize.run(lake, settings, DAYS[-2])
    for job in (train, evaluate, recommend, promote):
        assert job.run(lake, settings, DAYS[-2]).rows_out == 0
    assert content(lake) == before


def test_training_a_released_day_otherwise_leaves_the_released_model_alone(ran: Chain) -> None:
    lake, settings = ran.lake, ran.settings
    live = max(lake.arrow("gold.releases").to_pylist(), key=lambda r: r["release"])
    weights = Path(lake.root) / live["model_uri"] / "model.safetensors"
    before = weights.read_bytes()
    seed = settings.ranker.model_copy(update={"seed": 5, "epochs": 1})
    written = train.run(lake, settings.model_copy(update={"ranker": seed}), LAST)
    assert written.notes["model_version"] != live["model_version"]
    assert weights.read_bytes() == before
    with pytest.raises(UserError, match="was trained with other settings"):
        evaluate.run(lake, settings, LAST)
    train.run(lake, settings, LAST)


def test_after_a_rollback_the_model_before_is_champion_and_has_the_alias(ran: Chain) -> None:
    lake, settings = ran.lake, ran.settings
    releases = sorted(lake.arrow("gold.releases").to_pylist(), key=lambda r: r["release"])
    promote.run(lake, settings, LAST + timedelta(days=40), rollback=True)
    newest = max(lake.arrow("gold.releases").to_pylist(), key=lambda r: r["release"])
    assert (newest["kind"], newest["model_version"]) == ("rollback", releases[0]["model_version"])
    assert newest["tables"] == releases[0]["tables"]
    again = promote.run(lake, settings, LAST)  # the day runs again: what was rolled back stays so
    assert again.notes["released"] is False
    assert max(lake.arrow("gold.releases")["release"].to_pylist()) == newest["release"]
    with pytest.raises(UserError, match="no release before the model"):  # and not back to the one that was left
        promote.run(lake, settings, LAST, rollback=True)
    next_day = gate.decide(lake, settings, LAST + timedelta(days=1))
    assert (next_day.kind, next_day.uri) == ("keep", releases[0]["model_uri"])
    marked = tracking._connect(lake).get_model_version_by_alias(tracking.NAME, tracking.ALIAS)
    assert marked.source == f"{lake.root}/{releases[0]['model_uri']}"


def test_items_embedded_again_by_force_are_in_the_catalogue_once(ran: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    lake, settings = ran.lake, ran.settings
    version = lake.arrow("gold.codebooks")["encoder_version"][0].as_py()
    before = current_vectors(lake, version)
    monkeypatch.setenv("FORCE", "1")
    assert embed.run(lake, settings, LAST + timedelta(days=1)).rows_out == len(before[0])
    after = current_vectors(lake, version)
    assert after[0] == before[0]
    assert np.allclose(after[1], before[1], atol=0.02)
