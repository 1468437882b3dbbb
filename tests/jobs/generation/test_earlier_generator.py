"""An earlier generator: when it is trained further, and when it makes the lists of a day."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs import generate
from jobs.generation import shards
from jobs.generation import trained as trained_module
from jobs.lake import Lake
from jobs.settings.tree import Settings
from tests.jobs.generation.made_shop import AFTER, BEFORE, DAY, N, land_walks, name, put_items, trained, walks
from tests.jobs.generation.test_generate import event, land, list_of, rows_of
from tests.jobs.generation.test_lists import count_calls, read_and_die
from tests.jobs.generation.test_trained import metrics_of
from tests.jobs.lake_rows import put, release_row


@pytest.fixture
def live(lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> str:
    """A shop whose release of DAY has a generator. returns its version"""
    put_items(lake, settings)
    land_walks(lake)
    with monkeypatch.context() as patched:
        patched.setattr(trained_module, "_find_objection", lambda *_: None)
        version = generate.run(lake, trained(settings), DAY).notes["generator"]
    put(lake, "gold.releases", [release_row(1, DAY) | {"generator_uri": f"models/{version}/generator"}])
    return str(version)


def land_after(lake: Lake, users: range, steps: range = range(10, N)) -> None:
    """What these users did on the day after, besides the walks until DAY. Events of that day alone were written."""
    events = [row for row in lake.arrow("silver.events").to_pylist() if row["day"] < AFTER]
    land(lake, [*events, *walks(AFTER, steps, users)], AFTER, touched={AFTER})


def versions_after(lake: Lake) -> set[str]:
    return {row["model_version"] for row in rows_of(lake, "gold.generated", AFTER) if row["source"] == "generator"}


def stored_versions(lake: Lake) -> set[str]:
    return {folder.parent.name for folder in (Path(lake.root) / "models").glob("*/generator")}


def with_other_likes(settings: Settings) -> Settings:
    return trained(settings).model_copy(update={"logs": settings.logs.model_copy(update={"like_from": 3.0})})


@pytest.mark.usefixtures("open_gate")
def test_the_next_day_starts_from_the_generator_of_the_live_release(
    lake: Lake, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    put_items(lake, settings)
    land_walks(lake)
    version = generate.run(lake, trained(settings), DAY).notes["generator"]
    assert "starts from random weights" in capsys.readouterr().err
    put(lake, "gold.releases", [release_row(1, DAY) | {"generator_uri": f"models/{version}/generator"}])
    land_walks(lake, AFTER)
    put_items(lake, settings, range(N + 2))  # two items are new
    generate.run(lake, trained(settings), AFTER)
    assert f"starts from the weights of models/{version}/generator" in capsys.readouterr().err
    curve = metrics_of(lake, "epoch_0", AFTER)  # the weights it starts from are measured first
    assert curve["generator", "recall_at_10"] is not None
    for changed in (trained(settings, "tiger"), trained(settings, warm_start=False), with_other_likes(settings)):
        generate.run(lake, changed, AFTER)
        assert "starts from random weights" in capsys.readouterr().err
    weights = Path(lake.root) / "models" / version / "generator/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    generate.run(lake, trained(settings), AFTER)
    errors = capsys.readouterr().err
    assert f"warning: the generator of an earlier day is not used: model models/{version}/generator" in errors
    assert "starts from random weights" in errors


@pytest.mark.usefixtures("open_gate")
def test_after_a_day_without_a_generator_the_next_day_starts_from_the_one_before(
    lake: Lake, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    put_items(lake, settings)
    land_walks(lake, BEFORE)
    version = generate.run(lake, trained(settings), BEFORE).notes["generator"]
    live = release_row(1, BEFORE) | {"generator_uri": f"models/{version}/generator"}
    put(lake, "gold.releases", [live, release_row(2, DAY)])  # the generator of DAY was refused
    land_walks(lake, AFTER)
    generate.run(lake, trained(settings), AFTER)
    assert f"the generator starts from the weights of models/{version}/generator" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("users", "steps", "reason"),
    [
        (1, range(10, N), f"fewer than two users with a history acted on {AFTER}"),
        (2, range(10, 13), "the users who decide acted on 3 new items, 20 are needed"),
    ],
)
def test_a_day_that_cannot_measure_has_the_lists_of_the_live_generator_with_todays_items(
    lake: Lake, settings: Settings, live: str, users: int, steps: range, reason: str
) -> None:
    land_after(lake, range(users), steps)
    put_items(lake, settings, range(N + 2))  # two items are new
    put(lake, "silver.items", [row for row in lake.arrow("silver.items").to_pylist() if row["item_id"] != "i20"])
    notes = generate.run(lake, trained(settings, k=8), AFTER).notes
    assert notes["generator"] == live
    assert notes["reason"].startswith(reason)
    assert notes["reason"].endswith("; the generator of the live release stays")
    assert versions_after(lake) == stored_versions(lake) == {live}
    if users == 1:
        assert set(list_of(lake, "u00", "generator", AFTER)) == {"i24", "i25"}  # the user has seen all others
    assert "i20" not in {row["item_id"] for row in rows_of(lake, "gold.generated", AFTER)}
    assert metrics_of(lake, "all", AFTER)["generator", "live"] == 1
    assert list(metrics_of(lake, "refused", AFTER)) == [("generator", notes["reason"])]


def test_a_day_that_finds_less_than_the_graph_has_the_graph_alone_though_a_generator_is_live(
    lake: Lake, settings: Settings, live: str
) -> None:
    land_walks(lake, AFTER)
    notes = generate.run(lake, trained(settings, epochs=1, lr=1e-6, warm_start=False), AFTER).notes
    assert "and the item graph found" in notes["reason"]
    assert notes["generator"] is None
    assert versions_after(lake) == set()
    assert stored_versions(lake) == {live}


def test_a_generator_that_finds_less_than_the_live_one_leaves_it_live(
    lake: Lake, settings: Settings, live: str
) -> None:
    known = walks(BEFORE - timedelta(1), range(6)) + walks(BEFORE, range(6, 8))
    land(lake, known + walks(AFTER, range(8, 10)), AFTER)  # nothing on DAY: a graph of one day finds nothing
    changed = trained(settings, epochs=1, lr=1e-6, warm_start=False, graph_days=1)
    notes = generate.run(lake, changed, AFTER).notes
    rates = metrics_of(lake, "gate", AFTER)
    assert 0 == rates["graph", "hit_rate_at_5"] < rates["generator", "hit_rate_at_5"]
    assert rates["generator", "hit_rate_at_5"] < rates["live_generator", "hit_rate_at_5"]
    assert "and the generator of the live release found" in notes["reason"]
    assert notes["generator"] == live
    assert versions_after(lake) == stored_versions(lake) == {live}


def test_a_live_generator_stays_on_a_quiet_day_if_it_fits_todays_items_whatever_the_preset_is(
    lake: Lake, settings: Settings, live: str
) -> None:
    land_after(lake, range(1))
    assert generate.run(lake, trained(settings, "sasrec"), AFTER).notes["generator"] == live
    notes = generate.run(lake, with_other_likes(settings), AFTER).notes
    assert notes["generator"] is None
    assert notes["reason"].endswith("nothing could be measured")
    assert versions_after(lake) == set()


def test_lists_of_a_killed_run_are_not_used_after_texts_were_corrected(
    lake: Lake, settings: Settings, live: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_after(lake, range(1))
    with monkeypatch.context() as patched:
        patched.setattr(Lake, "replace", read_and_die)
        with pytest.raises(KeyboardInterrupt):
            generate.run(lake, trained(settings), AFTER)
    rows = lake.arrow("silver.items").to_pylist()
    put(lake, "silver.items", [row | {"text": f"{row['text']} corrected"} for row in rows])
    calls: list[Any] = []
    monkeypatch.setattr(shards.Shards, "_find", count_calls(shards.Shards._find, calls))
    assert generate.run(lake, trained(settings), AFTER).notes["generator"] == live
    assert len(calls) == 1


def test_a_generator_that_finds_nothing_does_not_go_live_though_the_graph_finds_nothing_either(
    lake: Lake, settings: Settings
) -> None:
    put_items(lake, settings, range(N + 2), DAY)
    arrived = [event(f"u{user:02}", name(item), item) for user in range(30) for item in (N, N + 1)]
    land(lake, [*walks(BEFORE, range(N)), *arrived])  # everybody had seen all other items
    notes = generate.run(lake, trained(settings), DAY).notes
    assert set(metrics_of(lake, "gate").values()) == {0.0}
    assert notes["reason"].startswith("none of 20 items that users acted on was among its first 5")
    assert notes["generator"] is None
    assert stored_versions(lake) == set()


def change_settings(settings: Settings, quantizer: dict[str, Any], encoder: dict[str, Any] | None = None) -> Settings:
    """With a small training of codes."""
    sections = {"quantizer": settings.quantizer.model_copy(update=quantizer),
                "encoder": settings.encoder.model_copy(update=encoder)}  # fmt: skip
    return trained(settings, "tiger", epochs=1).model_copy(update=sections)


@pytest.mark.parametrize(
    ("before", "after", "encoder", "is_continued"),
    [
        ({}, {}, {}, True),
        ({"kind": "rq_vae"}, {"kind": "rq_vae"}, {}, False),
        ({}, {"kind": "res_kmeans"}, {}, False),
        ({}, {"sizes": (64, 64, 64)}, {}, False),
        ({}, {}, {"max_tokens": 32}, False),
    ],
    ids=["refit that keeps numbers", "refit that keeps none", "other kind", "other sizes", "other encoder"],
)
def test_training_goes_on_only_if_codes_mean_what_they_meant(
    lake: Lake,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    before: dict[str, Any],
    after: dict[str, Any],
    encoder: dict[str, Any],
    is_continued: bool,
) -> None:
    monkeypatch.setattr(trained_module, "_find_objection", lambda *_: None)
    first = change_settings(settings, before)
    put_items(lake, first)
    land_walks(lake)
    uri = f"models/{generate.run(lake, first, DAY).notes['generator']}/generator"
    put(lake, "gold.releases", [release_row(1, DAY) | {"generator_uri": uri}])
    land_walks(lake, AFTER)
    second = change_settings(settings, after, encoder)
    put_items(lake, second, day=AFTER)  # with a codebook of this day
    capsys.readouterr()
    generate.run(lake, second, AFTER)
    start = f"the weights of {uri}" if is_continued else "random weights"
    assert f"the generator starts from {start}" in capsys.readouterr().err
