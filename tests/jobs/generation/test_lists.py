"""The lists of the daily task: shards that a killed run has stored, and workers that make them."""

from pathlib import Path
from typing import Any

import pytest

from jobs import generate
from jobs.generation import list_worker, shards
from jobs.lake import Lake, UserError
from jobs.runtime import train_workers
from jobs.settings.tree import Settings
from tests.jobs.generation.made_shop import BEFORE, DAY, land_walks, put_items, trained, walks
from tests.jobs.generation.test_generate import land, rows_of
from tests.jobs.generation.test_trained import run_one_worker


def count_calls(function: Any, calls: list[Any]) -> Any:
    def call(*arguments: Any) -> Any:
        calls.append(arguments)
        return function(*arguments)

    return call


def read_and_die(lake: Lake, table: str, data: Any, **_: Any) -> None:
    if table == shards.TABLE:
        data.read_all()
        raise KeyboardInterrupt


@pytest.mark.usefixtures("open_gate")
def test_a_run_killed_while_it_makes_lists_trains_nothing_again_and_makes_only_the_missing_lists(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put_items(lake, settings)
    land_walks(lake)
    monkeypatch.setattr(shards, "USERS_AT_ONCE", 10)
    one_epoch = trained(settings, epochs=1)
    generate.run(lake, one_epoch, DAY)
    undisturbed = rows_of(lake, "gold.generated"), rows_of(lake, "gold.metrics")
    find, made = shards.Shards._find, []

    def die_in_third(*arguments: Any) -> Any:
        made.append(arguments)
        if len(made) == 3:
            raise KeyboardInterrupt
        return find(*arguments)

    monkeypatch.setattr(shards.Shards, "_find", die_in_third)
    with pytest.raises(KeyboardInterrupt):
        generate.run(lake, one_epoch, DAY)
    capsys.readouterr()
    generate.run(lake, one_epoch, DAY)
    assert len(made) == 4  # of 3 shards, the last again
    assert "training resumes from" in capsys.readouterr().err
    assert (rows_of(lake, "gold.generated"), rows_of(lake, "gold.metrics")) == undisturbed
    assert not (Path(lake.root) / "models/unfinished/generate").exists()


def make_all_shards(module: str, folder: Path, workers: int) -> None:
    """What the workers that make lists do, in this process."""
    assert (module, workers) == (list_worker.MODULE, 2)
    list_worker.make_shards(folder)


def without_versions(lake: Lake) -> list[Any]:
    return [row | {"model_version": ""} for row in rows_of(lake, "gold.generated")]


@pytest.mark.usefixtures("open_gate")
def test_lists_that_two_worker_processes_share_are_those_of_one_process(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put_items(lake, settings)
    land_walks(lake)
    monkeypatch.setattr(shards, "USERS_AT_ONCE", 6)
    generate.run(lake, trained(settings, epochs=1), DAY)
    alone = without_versions(lake)
    monkeypatch.setattr(train_workers, "run_workers", run_one_worker)
    calls: list[Any] = []
    monkeypatch.setattr(shards.Shards, "_find", count_calls(shards.Shards._find, calls))
    capsys.readouterr()
    generate.run(lake, trained(settings, epochs=1, workers=2), DAY)
    assert "generating shards of users  3 of 3 " in capsys.readouterr().err  # of five, the first worker makes three
    assert not calls  # the main process makes none
    assert without_versions(lake) == alone


def test_lists_of_a_killed_run_are_not_used_after_users_did_something_else(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = trained(settings, "graph")
    land_walks(lake)
    with monkeypatch.context() as patched:
        patched.setattr(Lake, "replace", read_and_die)
        with pytest.raises(KeyboardInterrupt):
            generate.run(lake, graph, DAY)
    assert list((Path(lake.root) / "models/unfinished/generate").rglob("*.arrow"))
    land(lake, [*walks(BEFORE, range(8)), *walks(DAY, range(8, 9))])
    generate.run(lake, graph, DAY)
    resumed = rows_of(lake, "gold.generated")
    generate.run(lake, graph, DAY)  # nothing unfinished is left
    assert rows_of(lake, "gold.generated") == resumed


@pytest.mark.usefixtures("open_gate")
def test_workers_make_only_the_shards_that_are_missing_and_their_sentence_reaches_the_user(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_items(lake, settings)
    land_walks(lake)
    monkeypatch.setattr(shards, "USERS_AT_ONCE", 10)
    monkeypatch.setattr(train_workers, "run_workers", run_one_worker)
    made = count_calls(shards.Shards._find, calls := list[Any]())
    monkeypatch.setattr(shards.Shards, "_find", made)

    def make_first_shard_and_fail(module: str, folder: Path, workers: int) -> None:
        plan = list_worker.load_shards(folder)
        finders = {name: list_worker.load_finder(folder / name) for name in ("graph", "generator")}
        assert list(plan.make(plan.places()[0], finders))
        raise UserError("the disk is full")

    monkeypatch.setattr(list_worker, "run_workers", make_first_shard_and_fail)
    two_workers = trained(settings, epochs=1, workers=2)
    with pytest.raises(UserError, match=r"^the disk is full$"):
        generate.run(lake, two_workers, DAY)
    assert rows_of(lake, "gold.generated") == []
    monkeypatch.setattr(list_worker, "run_workers", make_all_shards)
    generate.run(lake, two_workers, DAY)
    assert len(calls) == 3  # one by the worker that failed, two after it
