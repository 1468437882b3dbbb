"""What a release names, and what a rollback brings back."""

import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from jobs.lake import Lake, UserError
from jobs.lake.metrics import replace_metrics
from jobs.release.gate import Decision
from jobs.release.model_store import ModelCard, save_model
from jobs.release.publishing import publish_release, roll_back
from jobs.release.releases import latest_generator, live_release
from jobs.settings.tree import Settings
from models.ranker import Design, Ranker
from tests.jobs.lake_rows import DAY, put


def publish(
    lake: Lake, settings: Settings, day: date, generators: list[str], ranker_day: date | None = None
) -> dict[str, object]:
    """Publish a day whose lists come from the item graph and from these versions of the generator.

    ranker_day  when the ranker was trained; by default on the day
    """
    trained_on = ranker_day or day
    ranker = Ranker(design=Design("latest", k=2), n_items=1, tasks=("click",), seed=trained_on.day)
    card = ModelCard.from_settings(settings, f"m{trained_on}", "e1", "cb1", str(trained_on))
    uri = save_model(lake, "challenger", ranker, card, pa.array(["i"]))
    for version in generators:
        save_model(lake, "generator", ranker, replace(card, model_version=version), pa.array(["i"]))
    row = {"user_id": "u", "rank": 1, "item_id": "i", "score": 1.0, "day": day}
    sources = [("graph", "g"), *(("generator", version) for version in generators)]
    put(lake, "gold.generated", [row | {"source": source, "model_version": version} for source, version in sources])
    tables = {"gold.recommendations": 1, "gold.explanations": 1, "gold.generated": lake.version("gold.generated")}
    put(lake, "gold.generated", [])  # another run writes the table meanwhile
    replace_metrics(lake, "promote", day, [])
    publish_release(lake, day, Decision("promote", uri, "better", tables=tables))
    release = live_release(lake)
    assert release
    return release


def test_a_release_names_the_generator_of_its_lists_and_a_rollback_brings_back_the_one_before(
    lake: Lake, settings: Settings
) -> None:
    assert publish(lake, settings, DAY - timedelta(2), [])["generator_uri"] is None
    assert publish(lake, settings, DAY - timedelta(1), ["v1"])["generator_uri"] == "models/v1/generator"
    assert publish(lake, settings, DAY, ["v2"])["generator_uri"] == "models/v2/generator"
    assert roll_back(lake)["generator_uri"] == "models/v1/generator"
    release = live_release(lake, before=str(DAY + timedelta(1)))
    assert release
    assert release["generator_uri"] == "models/v1/generator"  # the next day trains on from it


def test_a_rollback_can_undo_the_generator_alone_and_a_second_one_goes_further_back(
    lake: Lake, settings: Settings
) -> None:
    first = DAY - timedelta(2)
    publish(lake, settings, first - timedelta(1), ["v1"])
    publish(lake, settings, first, ["v1"])
    publish(lake, settings, DAY - timedelta(1), ["v2"], ranker_day=first)
    publish(lake, settings, DAY, ["v2"], ranker_day=first)  # neither is new
    for model_version, generator in ((f"m{first}", "v1"), (f"m{first - timedelta(1)}", "v1")):
        release = roll_back(lake)
        assert (release["model_version"], release["generator_uri"]) == (model_version, f"models/{generator}/generator")
    with pytest.raises(UserError, match="has another ranker or generator: there is nothing to roll back to"):
        roll_back(lake)


def test_a_rollback_does_not_go_back_to_a_release_that_was_rolled_back(lake: Lake, settings: Settings) -> None:
    first = DAY - timedelta(2)
    publish(lake, settings, first, ["v1"])
    publish(lake, settings, first + timedelta(1), ["v2"])
    roll_back(lake)
    publish(lake, settings, DAY, ["v3"], ranker_day=first)
    release = roll_back(lake)
    assert (release["model_version"], release["generator_uri"]) == (f"m{first}", "models/v1/generator")


def test_a_second_rollback_goes_further_back_though_a_later_day_published_the_same_models(
    lake: Lake, settings: Settings
) -> None:
    first = DAY - timedelta(2)
    for day, generators in ((first, []), (DAY - timedelta(1), ["v1"]), (DAY, [])):
        publish(lake, settings, day, generators, ranker_day=first)
    assert roll_back(lake)["generator_uri"] == "models/v1/generator"
    assert roll_back(lake)["generator_uri"] is None
    with pytest.raises(UserError, match="there is nothing to roll back to"):
        roll_back(lake)
    assert latest_generator(lake, before=str(DAY + timedelta(1))) is None


def test_after_days_without_a_generator_the_latest_one_that_was_not_rolled_back_counts(
    lake: Lake, settings: Settings
) -> None:
    def find_latest(day: date) -> str | None:
        return latest_generator(lake, before=str(day + timedelta(1)))

    first, second, third = (DAY - timedelta(days) for days in (3, 2, 1))
    assert find_latest(DAY) is None
    publish(lake, settings, first, ["v1"])
    publish(lake, settings, second, [])
    assert find_latest(second) == "models/v1/generator"
    publish(lake, settings, third, ["v2"])
    assert find_latest(third) == "models/v2/generator"
    assert find_latest(second) == "models/v1/generator"
    assert roll_back(lake)["generator_uri"] is None
    assert find_latest(third) == "models/v1/generator"
    publish(lake, settings, DAY, [])
    assert find_latest(DAY) == "models/v1/generator"


def test_a_rollback_says_which_of_ranker_and_generator_it_changes(
    lake: Lake, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = DAY - timedelta(2), DAY - timedelta(1)
    publish(lake, settings, first, [])
    publish(lake, settings, second, ["v1"])
    publish(lake, settings, DAY, ["v2"], ranker_day=second)
    roll_back(lake)
    message = "Release 4 is live: rolled back from release 3 to release 2,"
    assert f"{message} ranker m{second} (unchanged), generator v1 (before: v2).\n" in capsys.readouterr().err
    roll_back(lake)
    assert f"ranker m{first} (before: m{second}), generator none (before: v1).\n" in capsys.readouterr().err


def test_a_rollback_to_a_generator_that_is_gone_is_refused(lake: Lake, settings: Settings) -> None:
    publish(lake, settings, DAY - timedelta(1), ["v1"])
    publish(lake, settings, DAY, ["v2"])
    shutil.rmtree(Path(lake.root) / "models/v1")
    with pytest.raises(UserError, match=r"model models/v1/generator is not in .*: restore its folder"):
        roll_back(lake)
    assert len(lake.arrow("gold.releases")) == 2
