"""One decision for each day: evaluate makes it, and the lists and the release follow it."""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from jobs import evaluate, promote, recommend
from jobs.lake import Lake, UserError
from jobs.lake.metrics import metric_rows, replace_metrics
from jobs.ranking.settings import SOURCES
from jobs.release.releases import live_release
from tests.chain import LAST, Chain
from tests.jobs.lake_rows import put


@pytest.fixture
def lake(ran: Chain, tmp_path: Path) -> Lake:
    """A copy of the lake of the simulated days, which this test may write."""
    return Lake(shutil.copytree(ran.lake.root, tmp_path / "lake"), run_id="test")


def models_of_lists(lake: Lake) -> set[str]:
    lists = lake.arrow("gold.recommendations", ["model_version"], pc.field("day") == LAST)
    return set(lists["model_version"].to_pylist())


def release_of_last_day(lake: Lake) -> dict[str, Any]:
    release = live_release(lake)
    assert release
    assert release["day"] == LAST
    return release


def test_a_release_has_the_model_of_its_lists_if_the_gate_changes_between_the_two(ran: Chain, lake: Lake) -> None:
    evaluate.run(lake, ran.settings, LAST)
    recommend.run(lake, ran.settings, LAST)
    strict = ran.settings.gate.model_copy(update={"min_test_rows": 10**9})  # no challenger may go live
    promote.run(lake, ran.settings.model_copy(update={"gate": strict}), LAST)
    assert models_of_lists(lake) == {release_of_last_day(lake)["model_version"]}
    assert release_of_last_day(lake)["kind"] == "promote"


def test_a_release_has_the_model_of_its_lists_if_what_was_measured_changes_between_the_two(
    ran: Chain, lake: Lake
) -> None:
    evaluate.run(lake, ran.settings, LAST)
    recommend.run(lake, ran.settings, LAST)
    replace_metrics(lake, "evaluate", LAST, metric_rows("challenger", "all", {"auc": 0.1}, rows=5))
    promote.run(lake, ran.settings, LAST)
    assert models_of_lists(lake) == {release_of_last_day(lake)["model_version"]}


def test_a_new_decision_is_not_published_beside_the_lists_of_the_old_one(ran: Chain, lake: Lake) -> None:
    recommend.run(lake, ran.settings, LAST)
    before = release_of_last_day(lake)
    collisions = metric_rows("codebook", "all", {"collision_rate": 0.99}, version=str(before["codebook_version"]))
    replace_metrics(lake, "quantize", LAST, collisions)  # so many that the challenger may not go live
    evaluate.run(lake, ran.settings, LAST)
    with pytest.raises(UserError, match="was not made for this decision: run recommend of this day again"):
        promote.run(lake, ran.settings, LAST)
    assert release_of_last_day(lake) == before
    recommend.run(lake, ran.settings, LAST)
    promote.run(lake, ran.settings, LAST)
    assert release_of_last_day(lake)["kind"] == "keep"
    assert models_of_lists(lake) == {release_of_last_day(lake)["model_version"]} != {before["model_version"]}


def test_a_release_names_the_versions_that_its_run_used_not_newer_ones(ran: Chain, lake: Lake) -> None:
    tables = ("silver.events", "silver.items", "gold.item_embeddings", "gold.semantic_ids", "gold.samples")

    def write_beside(names: tuple[str, ...]) -> None:
        other = Lake(lake.root, run_id="a backfill")
        for name in names:
            other.replace(name, other.arrow(name).slice(0, 1))

    evaluate.run(lake, ran.settings, LAST)
    versions = {name: lake.version(name) for name in tables}
    before = lake.arrow("gold.recommendations", where=pc.field("day") == LAST)
    write_beside(tables)
    recommend.run(lake, ran.settings, LAST)
    lists = {name: lake.version(name) for name in ("gold.recommendations", "gold.explanations")}
    write_beside(("silver.item_pairs", "gold.generated", *lists))
    promote.run(lake, ran.settings, LAST)
    named = dict(release_of_last_day(lake)["tables"])
    assert {name: named[name] for name in (*tables, *lists)} == versions | lists
    for name in ("silver.item_pairs", "gold.generated"):
        assert named[name] == lake.version(name) - 1
    after = lake.arrow("gold.recommendations", where=pc.field("day") == LAST, version=named["gold.recommendations"])
    assert after.sort_by([("user_id", "ascending"), ("rank", "ascending")]) == before.sort_by(
        [("user_id", "ascending"), ("rank", "ascending")]
    )


def test_lists_hold_what_generate_found_and_say_which_source_found_an_item(ran: Chain, lake: Lake) -> None:
    def list_sources(sources: tuple[str, ...]) -> set[str]:
        options = ran.settings.recommend.model_copy(update={"sources": sources})
        recommend.run(lake, ran.settings.model_copy(update={"recommend": options}), LAST)
        found_by = lake.arrow("gold.recommendations", ["sources"], pc.field("day") == LAST)["sources"].to_pylist()
        assert all(found_by)
        return {name for names in found_by for name in names}

    assert list_sources(SOURCES) == set(SOURCES) - {"generator"}  # none is trained
    assert list_sources(("pairs", "popular")) == {"pairs", "popular"}
    generated = lake.arrow("gold.generated", ["user_id", "item_id"], pc.field("day") == LAST).to_pylist()
    pairs_generated = {(row["user_id"], row["item_id"]) for row in generated}
    assert list_sources(("graph",)) == {"graph"}
    rows = lake.arrow("gold.recommendations", ["user_id", "item_id"], pc.field("day") == LAST).to_pylist()
    assert {(row["user_id"], row["item_id"]) for row in rows} <= pairs_generated
    lake.replace("gold.generated", lake.arrow("gold.generated").slice(0, 0))
    recommend_only = ran.settings.recommend.model_copy(update={"sources": ("graph",)})
    lists = lake.version("gold.recommendations")
    with pytest.raises(
        UserError, match=r"^none of \d+ users has a candidate: \[recommend\] sources is graph, and these"
    ):
        recommend.run(lake, ran.settings.model_copy(update={"recommend": recommend_only}), LAST)
    assert lake.version("gold.recommendations") == lists


def test_a_decision_against_a_model_that_is_no_longer_live_is_not_followed(ran: Chain, lake: Lake) -> None:
    evaluate.run(lake, ran.settings, LAST)
    recommend.run(lake, ran.settings, LAST)
    releases = sorted(lake.arrow("gold.releases").to_pylist(), key=lambda r: r["release"])
    another = releases[0] | {"release": releases[0]["release"] + 5, "kind": "rollback"}
    put(lake, "gold.releases", [releases[0], another])
    for job in (recommend, promote):
        with pytest.raises(UserError, match=f"but release {another['release']} is live: run evaluate of this day"):
            job.run(lake, ran.settings, LAST)


def test_lists_and_release_need_a_decision(ran: Chain, lake: Lake) -> None:
    for job in (recommend, promote):
        with pytest.raises(UserError, match="there is no decision about 2026-11-21 yet: run evaluate"):
            job.run(lake, ran.settings, LAST + timedelta(days=1))
