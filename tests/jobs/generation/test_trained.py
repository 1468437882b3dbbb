"""The trained generator in the daily task: its training, its lists, and whether it goes live."""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
from safetensors.torch import load_file

from jobs import generate
from jobs.generation import train_worker, training
from jobs.generation import trained as trained_module
from jobs.lake import Lake, UserError
from jobs.runtime import train_workers
from jobs.settings.tree import Settings
from models.generator.saved import NOT_TRAINED
from tests.jobs.generation.made_shop import AFTER, BEFORE, DAY, N, land_walks, put_items, trained, walks
from tests.jobs.generation.test_generate import event, land, list_of, rows_of
from tests.jobs.lake_rows import put

PRESETS = ("sidereal", "sasrec", "tiger", "rpg")


def metrics_of(lake: Lake, slice_: str, day: Any = DAY) -> dict[tuple[str, str], Any]:
    rows = lake.arrow("gold.metrics", where=(ds.field("day") == day) & (ds.field("job") == "generate")).to_pylist()
    return {(row["model"], row["metric"]): row["value"] for row in rows if row["slice"] == slice_}


@pytest.mark.usefixtures("open_gate")
@pytest.mark.parametrize("preset", PRESETS)
def test_each_preset_is_trained_and_lists_unseen_items_of_the_catalogue(
    lake: Lake, settings: Settings, preset: str
) -> None:
    put_items(lake, settings)
    land_walks(lake)
    result = generate.run(lake, trained(settings, preset), DAY)
    version = result.notes["generator"]
    seen = {f"i{step:02}" for step in range(10)}
    items = list_of(lake, "u00", "generator")
    assert len(items) == 5
    assert not seen & set(items)
    versions = {row["model_version"] for row in rows_of(lake, "gold.generated") if row["source"] == "generator"}
    assert versions == {version}
    folder = Path(lake.root) / "models" / version / "generator"
    assert {file.name for file in folder.iterdir()} == {"card.json", "items.json", "model.json", "model.safetensors"}
    assert ("generator", "recall_at_10") in metrics_of(lake, "epoch_1")
    assert metrics_of(lake, "all")["generator", "live"] == 1
    assert len(list_of(lake, "u00", "graph")) > 0


def run_twice(lake: Lake, settings: Settings) -> tuple[Any, Any]:
    results = [generate.run(lake, settings, DAY).notes["generator"]]
    tables = [rows_of(lake, "gold.generated"), rows_of(lake, "gold.metrics")]
    results.append(generate.run(lake, settings, DAY).notes["generator"])
    return (results[0], tables), (results[1], [rows_of(lake, "gold.generated"), rows_of(lake, "gold.metrics")])


@pytest.mark.usefixtures("open_gate")
def test_a_rerun_gives_the_same_model_and_rows_and_nothing_after_the_day_changes_them(
    lake: Lake, settings: Settings
) -> None:
    put_items(lake, settings)
    land_walks(lake)
    first, again = run_twice(lake, trained(settings))
    assert first == again
    land_walks(lake, AFTER)
    generate.run(lake, trained(settings), AFTER)
    later, _ = run_twice(lake, trained(settings))
    assert later[0] == first[0]
    assert rows_of(lake, "gold.generated", DAY) == first[1][0]


@pytest.mark.usefixtures("open_gate")
@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("silver.items", lambda row: {"text": f"{row['text']} corrected", "content_hash": row["item_id"] + "2"}),
        ("gold.item_embeddings", lambda row: {"vector": [-value for value in row["vector"]]}),
        ("gold.semantic_ids", lambda row: {"c1": (row["c1"] + 1) % 4}),
    ],
)
def test_items_that_were_corrected_get_another_version_though_the_weights_are_the_same(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch, table: str, change: Any
) -> None:
    def load_stored(version: str) -> dict[str, Any]:
        return load_file(Path(lake.root) / "models" / version / "generator/model.safetensors")

    put_items(lake, settings)
    land_walks(lake)
    monkeypatch.setattr(training, "train_generator", lambda *_: [])  # no epoch is better than the weights at the start
    version = generate.run(lake, trained(settings), DAY).notes["generator"]
    put(lake, table, [row | change(row) for row in lake.arrow(table).to_pylist()])
    corrected = generate.run(lake, trained(settings), DAY).notes["generator"]
    assert corrected != version
    before, after = load_stored(version), load_stored(corrected)
    differing = {name for name, values in after.items() if values.tolist() != before[name].tolist()}
    assert differing
    assert differing <= set(NOT_TRAINED)


def test_a_generator_worse_than_the_graph_makes_no_lists_and_is_not_stored(
    lake: Lake, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    put_items(lake, settings)
    land_walks(lake)
    result = generate.run(lake, trained(settings, epochs=1, lr=1e-6), DAY)
    rates = metrics_of(lake, "gate")
    assert rates["generator", "hit_rate_at_5"] < rates["graph", "hit_rate_at_5"]
    assert result.notes["generator"] is None
    assert "among its first 5, and the item graph found" in result.notes["reason"]
    assert "the generator does not go live: " in capsys.readouterr().err
    assert metrics_of(lake, "all")["generator", "live"] == 0
    assert {row["source"] for row in rows_of(lake, "gold.generated")} == {"graph"}
    assert not list((Path(lake.root) / "models").rglob("generator"))


def test_a_generator_that_finds_more_than_the_graph_goes_live(lake: Lake, settings: Settings) -> None:
    put_items(lake, settings)
    land(lake, [*walks(BEFORE - timedelta(1), range(8)), *walks(DAY, range(8, 10))])
    result = generate.run(lake, trained(settings, graph_days=1), DAY)  # the graph of the day before is empty
    rates = metrics_of(lake, "gate")
    assert rates["generator", "hit_rate_at_5"] > rates["graph", "hit_rate_at_5"] == 0
    assert result.notes["generator"]
    assert {row["source"] for row in rows_of(lake, "gold.generated")} == {"graph", "generator"}


@pytest.mark.usefixtures("open_gate")
def test_the_users_who_decide_train_nothing_on_the_day_and_choose_no_epoch(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    deciding: set[int] = set()
    compare = trained_module._compare

    def note_users(*args: Any) -> Any:
        behaviour, users = args[3], args[6]
        deciding.update(int(user.removeprefix("u")) for user in behaviour.users.take(users).to_pylist())
        return compare(*args)

    def run(changed: Iterable[int] = ()) -> tuple[str, list[Any], Any]:
        """The version, which is a hash of the weights, the curve, and the graph's rate when users go another way."""
        usual = set(range(30)) - set(changed)
        events = walks(BEFORE - timedelta(1), range(6)) + walks(BEFORE, range(6, 8))
        for users, steps in ((usual, range(8, 10)), (changed, range(15, 17))):
            events += [row for user in users for row in walks(DAY, steps, range(user, user + 1))]
        land(lake, events)
        version = generate.run(lake, trained(settings), DAY).notes["generator"]
        curve = [metrics_of(lake, f"epoch_{epoch}") for epoch in range(5)]
        return version, curve, metrics_of(lake, "gate")["graph", "hit_rate_at_5"]

    put_items(lake, settings)
    monkeypatch.setattr(trained_module, "_compare", note_users)
    version, curve, rate = run()
    others = set(range(30)) - deciding
    assert len(deciding) == 10
    changed_version, changed_curve, changed_rate = run(sorted(deciding))
    assert (changed_version, changed_curve) == (version, curve)
    assert changed_rate < rate
    _, changed_curve, changed_rate = run(sorted(others))
    assert changed_curve != curve
    assert changed_rate == rate


@pytest.mark.usefixtures("open_gate")
def test_an_item_that_arrived_on_the_day_was_in_no_list_of_the_day_before(lake: Lake, settings: Settings) -> None:
    """The generator knows the item's codes and text, but who compares it with the graph must not see them."""
    put_items(lake, settings, range(N + 2))
    arrived = {"i24", "i25"}
    ids = [row | {"day": DAY if row["item_id"] in arrived else BEFORE} for row in
           lake.arrow("gold.semantic_ids").to_pylist()]  # fmt: skip
    put(lake, "gold.semantic_ids", ids)
    events = walks(BEFORE, range(N))  # everybody has seen all other items
    land(lake, [*events, *(event(f"u{user:02}", item, 1) for user in range(30) for item in arrived)])
    generate.run(lake, trained(settings), DAY)
    assert metrics_of(lake, "gate")["generator", "hit_rate_at_5"] == 0
    land(lake, [*events, event("late", "i00", 1), *(event(f"u{user:02}", "i24", 1) for user in range(30))])
    generate.run(lake, trained(settings), DAY)
    assert "i25" in list_of(lake, "late", "generator") + list_of(lake, "u00", "generator")


def test_a_day_without_what_the_generator_needs_has_the_graph_alone(lake: Lake, settings: Settings) -> None:
    def refusal(preset: str) -> str:
        result = generate.run(lake, trained(settings, preset), DAY)
        assert {row["source"] for row in rows_of(lake, "gold.generated")} <= {"graph", "popular"}
        return str(result.notes["reason"])

    assert "no user acted on two items from 2026-05-24 to 2026-11-19" in refusal("sasrec")
    bought = [event(user, "i00", 1, BEFORE, "purchase") for user in "uv"]
    land(lake, [*bought, *(event(user, "i00", 2, BEFORE, "cancel") for user in "uv"), *walks(DAY, range(2))])
    assert "no user acted on two items" in refusal("sasrec")
    land(lake, walks(BEFORE, range(6)))
    assert "fewer than two users with a history acted on" in refusal("sasrec")
    land(lake, [*walks(BEFORE - timedelta(1), range(6)), *walks(DAY, range(6, 8))])
    few_days = generate.run(lake, trained(settings, "sasrec", train_days=1), DAY)  # two days ago is too long ago
    assert "no user acted on two items from 2026-11-19 to 2026-11-19" in few_days.notes["reason"]
    land_walks(lake)
    assert "there is no codebook of these [quantizer] settings" in refusal("tiger")
    put_items(lake, settings)
    put(lake, "gold.item_embeddings", [])
    assert "no item had a vector" in refusal("sidereal")
    put(lake, "gold.semantic_ids", [])
    assert "had given no item an ID by the end of" in refusal("tiger")


def test_two_items_with_the_same_id_and_twin_stop_the_task(lake: Lake, settings: Settings) -> None:
    put_items(lake, settings)
    land_walks(lake)
    put(lake, "gold.semantic_ids", [row | {"twin": 0} for row in lake.arrow("gold.semantic_ids").to_pylist()])
    with pytest.raises(UserError, match=r"gold.semantic_ids of .* is damaged \(items 0 and 1 have the same codes"):
        generate.run(lake, trained(settings), DAY)


@pytest.mark.usefixtures("open_gate")
@pytest.mark.parametrize("preset", PRESETS)
def test_items_that_are_gone_are_in_no_list_but_their_events_count(lake: Lake, settings: Settings, preset: str) -> None:
    put_items(lake, settings)
    gone = [event("gone", f"i{item}", item, BEFORE) for item in (20, 21, 22)]
    land(lake, [*walks(BEFORE, range(8)), *walks(DAY, range(8, 10)), *gone])
    catalogue = [row for row in lake.arrow("silver.items").to_pylist() if row["item_id"] not in ("i20", "i21", "i22")]
    put(lake, "silver.items", catalogue)
    generate.run(lake, trained(settings, preset, epochs=1), DAY)
    rows = rows_of(lake, "gold.generated")
    assert {row["source"] for row in rows} >= {"generator", "graph"}
    assert {row["item_id"] for row in rows} <= {row["item_id"] for row in catalogue}
    if preset == "sasrec":  # the others have no vector of an item that is gone
        assert len(list_of(lake, "gone", "generator")) == 5


@pytest.mark.usefixtures("open_gate")
def test_a_user_with_100_000_events_gets_the_items_that_are_left(lake: Lake, settings: Settings) -> None:
    put_items(lake, settings)
    long = [event("long", f"i{step % 22:02}", 1, BEFORE) | {"event_id": f"e{step}"} for step in range(100_000)]
    land(lake, [*walks(BEFORE, range(8)), *walks(DAY, range(8, 10)), *long])
    generate.run(lake, trained(settings, epochs=1, tokens=8192, preset="sasrec"), DAY)
    assert sorted(list_of(lake, "long", "generator")) == ["i22", "i23"]


@pytest.mark.usefixtures("open_gate")
def test_a_user_whose_items_the_model_does_not_know_gets_other_lists(lake: Lake, settings: Settings) -> None:
    put_items(lake, settings)
    events = [*walks(BEFORE, range(8)), *walks(DAY, range(8, 10)), event("gone", "x0", 1), event("gone", "x1", 2)]
    land(lake, [*events, event("new", "i00", 1, kind="impression")])
    generate.run(lake, trained(settings), DAY)
    assert list_of(lake, "gone", "generator") == list_of(lake, "new", "generator") == []
    assert list_of(lake, "gone", "popular")
    assert list_of(lake, "new", "popular")
    assert list_of(lake, "u00", "popular") == []


@pytest.mark.usefixtures("open_gate")
def test_a_killed_training_resumes_and_a_finished_one_leaves_no_checkpoint(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put_items(lake, settings)
    land_walks(lake)
    with monkeypatch.context() as patched:
        patched.setattr(trained_module, "save_model", interrupt)
        with pytest.raises(KeyboardInterrupt):
            generate.run(lake, trained(settings), DAY)
    generate.run(lake, trained(settings), DAY)
    assert "training resumes from the epochs in models/unfinished/generate/" in capsys.readouterr().err
    assert not list((Path(lake.root) / "models/unfinished").rglob("*.safetensors"))


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def run_one_worker(module: str, folder: Path, workers: int) -> None:
    """Training by the first of several workers, in this process."""
    assert (module, workers) == ("jobs.generation.train_worker", 2)
    train_worker.TRAINING.run_worker(folder, is_first=True)


@pytest.mark.usefixtures("open_gate")
def test_a_worker_gets_all_that_a_training_needs(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_items(lake, settings)
    land_walks(lake)
    generate.run(lake, trained(settings, patience=4), DAY)  # all four epochs
    alone = metrics_of(lake, "epoch_4")
    assert alone["generator", "recall_at_10"] is not None
    monkeypatch.setattr(train_workers, "run_workers", run_one_worker)
    generate.run(lake, trained(settings, patience=4, workers=2), DAY)
    assert metrics_of(lake, "epoch_4") == alone
