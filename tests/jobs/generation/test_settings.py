"""Settings of the generator: those that cannot work stop the job with a sentence that names the key."""

import json
from pathlib import Path

import pytest

from jobs import generate
from jobs.lake import Lake, UserError
from jobs.settings.tree import Settings, load_settings
from tests.jobs.generation.made_shop import DAY, land_walks, put_items, trained
from tests.jobs.generation.test_generate import list_of


@pytest.mark.parametrize(("variable", "value", "message"), [
    ("SIDEREAL_GENERATOR__PRESET", "tree", "setting generator.preset is wrong"),
    ("SIDEREAL_GENERATOR__GRAPH_DAYS", "0", "setting generator.graph_days is wrong"),
    ("SIDEREAL_GENERATOR__K", "0", "setting generator.k is wrong"),
    ("SIDEREAL_GENERATOR", '{"preset":"tiger","beam":20}', "beam: 20 prefixes lead to fewer than k = 50 items"),
    ("SIDEREAL_GENERATOR", '{"preset":"rpg","heads":["codes"],"beam":20}', "beam: 20 prefixes lead to fewer"),
    ("SIDEREAL_GENERATOR__HEADS", "[]", "heads: name at least one, and each only once"),
    ("SIDEREAL_GENERATOR__INPUTS", '["id","id"]', "inputs: name at least one, and each only once"),
    ("SIDEREAL_GENERATOR", '{"preset":"tiger","heads":["items"]}', "backbone: encoder_decoder is only for"),
    ("SIDEREAL_GENERATOR", '{"preset":"graph","backbone":"causal"}', "backbone: the preset graph has no such option"),
    ("SIDEREAL_GENERATOR__PRESET", "lc_rec", "model: the preset lc_rec needs the folder of a language model"),
    ("SIDEREAL_RECOMMEND__SOURCES", '["graph","swing"]', "setting recommend.sources.1 is wrong"),
    ("SIDEREAL_RECOMMEND__SOURCES", '["graph","graph"]', "sources: graph, graph names a source twice"),
    ("SIDEREAL_RECOMMEND__SOURCES", "[]", "sources: name at least one of pairs, neighbours, graph, generator, popular"),
])  # fmt: skip
def test_a_wrong_value_stops_the_job_and_names_the_key(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UserError, match=message):
        load_settings()


@pytest.mark.usefixtures("open_gate")
def test_options_that_are_set_change_the_preset(lake: Lake, settings: Settings) -> None:
    put_items(lake, settings)
    land_walks(lake)
    options = {"inputs": ("id", "codes"), "heads": ("codes", "parallel"), "backbone": "encoder_decoder"}
    version = generate.run(lake, trained(settings, "sasrec", epochs=1, **options), DAY).notes["generator"]
    stored = json.loads((Path(lake.root) / "models" / version / "generator/model.json").read_text())
    assert {name: stored["design"][name] for name in options} == {
        name: value if isinstance(value, str) else list(value) for name, value in options.items()
    }
    assert len(list_of(lake, "u00", "generator")) == 5
