"""The presets that are a language model in the daily task, with tiny random weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import GPT2Config, GPT2LMHeadModel

from jobs import generate
from jobs.generation import language_model_worker, list_worker, shards
from jobs.generation import trained as trained_module
from jobs.generation.language_model_lists import make_finder
from jobs.generation.language_model_worker import LanguageGenerator
from jobs.generation.settings import LanguageModel
from jobs.lake import Lake, UserError
from jobs.runtime import train_workers
from jobs.settings.tree import Settings
from models.ranker.histories import Histories
from tests.jobs.generation.made_shop import AFTER, BEFORE, DAY, N, land_walks, put_items, trained, walks
from tests.jobs.generation.test_generate import event, land, list_of, rows_of
from tests.jobs.generation.test_lists import make_all_shards, without_versions
from tests.jobs.generation.test_trained import interrupt, metrics_of
from tests.jobs.lake_rows import put, release_row
from tests.models.generator import shop as toy
from tests.models.generator.shop import save_lm

PRESETS = ("lc_rec", "semantic_convergence")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_lm(tmp_path / "lm")


def small(settings: Settings, folder: Path, preset: str = "lc_rec", **values: Any) -> Settings:
    """The settings with a small training of the language model."""
    model = {"model": str(folder), "lora_rank": 2, "steps": 2, "rows": 8, "tokens_per_batch": 2000}
    language_model = LanguageModel(**model | values.pop("language_model", {}))
    return trained(settings, preset, **{"epochs": 1, "language_model": language_model} | values)


def versions_of(lake: Lake) -> set[str]:
    return {row["model_version"] for row in rows_of(lake, "gold.generated") if row["source"] == "generator"}


def put_shop(lake: Lake, settings: Settings) -> None:
    """A catalogue, walks, and items that are gone."""
    put_items(lake, settings)
    gone = [event("gone", f"i{item}", item, BEFORE) for item in (20, 21, 22)]
    land(lake, [*walks(BEFORE, range(8)), *walks(DAY, range(8, 10)), *gone])
    put(lake, "silver.items", [row for row in lake.arrow("silver.items").to_pylist() if row["item_id"] < "i20"])


@pytest.mark.usefixtures("open_gate")
@pytest.mark.parametrize(("preset", "rank"), [("lc_rec", 0), ("semantic_convergence", 2)])
def test_a_language_model_lists_unseen_items_of_the_catalogue(
    lake: Lake, settings: Settings, folder: Path, preset: str, rank: int
) -> None:
    put_shop(lake, settings)
    result = generate.run(lake, small(settings, folder, preset, language_model={"lora_rank": rank}), DAY)
    version = result.notes["generator"]
    items = list_of(lake, "u00", "generator")
    assert len(items) == 5
    assert not {f"i{step:02}" for step in range(10)} & set(items)
    assert max(row["item_id"] for row in rows_of(lake, "gold.generated") if row["source"] == "generator") < "i20"
    assert versions_of(lake) == {version}
    stored = Path(lake.root) / "models" / version / "generator"
    assert {file.suffix for file in stored.iterdir()} <= {".json", ".safetensors", ".jinja"}
    assert json.loads((stored / "origin.json").read_text())["preset"] == preset
    assert metrics_of(lake, "epoch_1")["generator", "valid_loss"] > 0
    assert set(metrics_of(lake, "gate")) == {("generator", "hit_rate_at_5"), ("graph", "hit_rate_at_5")}
    assert not list((Path(lake.root) / "models/unfinished").rglob("*.safetensors"))


def test_a_prompt_as_long_as_the_model_can_read_leaves_room_for_the_codes() -> None:
    config = GPT2Config(vocab_size=len(toy.WORDS), n_positions=64, n_embd=32, n_layer=1, n_head=2)
    generator = LanguageGenerator(toy.with_codes(GPT2LMHeadModel(config)), toy.WORDS)
    is_listed = torch.ones(toy.N, dtype=torch.bool)
    find = make_finder(generator, toy.code_tensor(), is_listed, beam=toy.N, tokens_per_batch=256)
    steps = np.arange(40)
    histories = Histories.from_arrays(steps * 0, (steps % 10).astype(np.int32), steps, 1)
    items, _ = find(histories, np.array([0]), np.array([40]), 5)
    assert sorted(items[0].tolist()) == [-1, -1, -1, 10, 11]  # the user has seen the other ten


def test_a_language_model_worse_than_the_graph_makes_no_lists(lake: Lake, settings: Settings, folder: Path) -> None:
    put_items(lake, settings)
    land_walks(lake)
    result = generate.run(lake, small(settings, folder), DAY)
    assert "and the item graph found" in result.notes["reason"]
    assert not versions_of(lake)


@pytest.mark.usefixtures("open_gate")
def test_the_next_day_starts_from_the_latest_language_model_that_was_live(
    lake: Lake, settings: Settings, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_items(lake, settings)
    land_walks(lake)
    version = generate.run(lake, small(settings, folder), DAY).notes["generator"]
    assert f"the generator starts from {folder}" in capsys.readouterr().err
    uri = f"models/{version}/generator"
    put(lake, "gold.releases", [release_row(1, DAY) | {"generator_uri": uri}, release_row(2, DAY)])  # 2 has none
    land_walks(lake, AFTER)
    put_items(lake, settings, range(N + 2))  # two items are new
    generate.run(lake, small(settings, folder), AFTER)
    assert f"starts from the weights of {uri}" in capsys.readouterr().err
    generate.run(lake, small(settings, folder, language_model={"lora_rank": 3}), AFTER)
    assert f"the generator starts from {folder}" in capsys.readouterr().err
    generate.run(lake, trained(settings, epochs=1), AFTER)
    errors = capsys.readouterr().err
    assert "starts from random weights" in errors
    assert "warning" not in errors
    (Path(lake.root) / uri / "codes.safetensors").write_bytes(b"no")
    generate.run(lake, small(settings, folder), AFTER)
    assert "warning: the generator of an earlier day is not used: " in (errors := capsys.readouterr().err)
    assert f"the generator starts from {folder}" in errors


@pytest.mark.usefixtures("open_gate")
def test_a_day_that_cannot_measure_has_the_lists_of_the_live_language_model(
    lake: Lake, settings: Settings, folder: Path
) -> None:
    put_items(lake, settings)
    land_walks(lake)
    version = generate.run(lake, small(settings, folder), DAY).notes["generator"]
    put(lake, "gold.releases", [release_row(1, DAY) | {"generator_uri": f"models/{version}/generator"}])
    events = lake.arrow("silver.events").to_pylist()
    land(lake, [*events, *walks(AFTER, range(10, N), range(1))], AFTER, touched={AFTER})
    put_items(lake, settings, range(N + 2))  # two items are new
    notes = generate.run(lake, small(settings, folder), AFTER).notes
    assert notes["generator"] == version
    assert notes["reason"].startswith(f"fewer than two users with a history acted on {AFTER}")
    assert set(list_of(lake, "u00", "generator", AFTER)) == {"i24", "i25"}  # the user has seen all others
    notes = generate.run(lake, small(settings, folder, language_model={"lora_rank": 3}), AFTER).notes
    assert notes["generator"] is None


@pytest.mark.usefixtures("open_gate")
def test_a_killed_training_resumes_and_a_rerun_gives_the_same_model(
    lake: Lake, settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put_items(lake, settings)
    land_walks(lake)
    with monkeypatch.context() as patched:
        patched.setattr(trained_module, "save_model", interrupt)
        with pytest.raises(KeyboardInterrupt):
            generate.run(lake, small(settings, folder), DAY)
    resumed = generate.run(lake, small(settings, folder), DAY).notes["generator"]
    assert "training resumes from the epochs in models/unfinished/generate/" in capsys.readouterr().err
    lists = rows_of(lake, "gold.generated")
    assert generate.run(lake, small(settings, folder), DAY).notes["generator"] == resumed
    assert rows_of(lake, "gold.generated") == lists


@pytest.mark.usefixtures("open_gate")
def test_a_worker_gets_all_that_training_and_lists_need(
    lake: Lake, settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def weights(version: str) -> dict[str, Any]:
        return load_file(Path(lake.root) / "models" / version / "generator/codes.safetensors")

    def run_one_worker(module: str, folder: Path, workers: int) -> None:
        assert (module, workers) == ("jobs.generation.language_model_worker", 2)
        language_model_worker.TRAINING.run_worker(folder, is_first=True)

    put_items(lake, settings)
    land_walks(lake)
    monkeypatch.setattr(shards, "USERS_AT_ONCE", 15)
    alone = weights(generate.run(lake, small(settings, folder), DAY).notes["generator"])
    lists_alone = without_versions(lake)
    monkeypatch.setattr(train_workers, "run_workers", run_one_worker)
    monkeypatch.setattr(list_worker, "run_workers", make_all_shards)
    together = weights(generate.run(lake, small(settings, folder, workers=2), DAY).notes["generator"])
    assert {name: value.tolist() for name, value in together.items()} == {
        name: value.tolist() for name, value in alone.items()
    }
    assert without_versions(lake) == lists_alone


def test_items_without_titles_leave_the_graph_alone(lake: Lake, settings: Settings, folder: Path) -> None:
    put_items(lake, settings)
    land_walks(lake)
    put(lake, "silver.items", [row | {"title": None} for row in lake.arrow("silver.items").to_pylist()])
    result = generate.run(lake, small(settings, folder), DAY)
    assert "a language model cannot learn what the codes mean" in result.notes["reason"]
    assert {row["source"] for row in rows_of(lake, "gold.generated")} == {"graph"}


def test_a_folder_without_a_readable_model_stops_the_task_before_anything_is_trained(
    lake: Lake, settings: Settings, folder: Path, tmp_path: Path
) -> None:
    put_items(lake, settings)
    land_walks(lake)

    def refuse(source: Path, reason: str) -> None:
        with pytest.raises(UserError, match=f"^generator.language_model.model: .*{reason}.*; give a folder with"):
            generate.run(lake, small(settings, source), DAY)
        assert not rows_of(lake, "gold.generated")
        assert not (Path(lake.root) / "models").exists()

    refuse(tmp_path / "nothing", "nothing holds no config.json")
    (folder / "model.safetensors").write_bytes(b"no")
    refuse(folder, "cannot be loaded as a language model")
    (folder / "model.safetensors").unlink()
    refuse(folder, r"lm holds no \*.safetensors")
